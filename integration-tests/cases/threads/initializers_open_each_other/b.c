#include "meet.h"
#include "open.h"
extern int met[2], got[2], runs[2];
__attribute__((constructor)) static void init(void) {
    runs[1]++;
    sign(1);
    met[1] = await(0) == 0;
    got[1] = open_or_tell("A") != 0;
}
