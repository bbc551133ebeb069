#include "meet.h"
#include "open.h"
extern int met[2], got[2], runs[2];
__attribute__((constructor)) static void init(void) {
    runs[0]++;
    sign(0);
    met[0] = await(1) == 0;
    got[0] = open_or_tell("B") != 0;
}
