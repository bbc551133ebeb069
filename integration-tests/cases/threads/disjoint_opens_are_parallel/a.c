#include "meet.h"
extern int met[2];
__attribute__((constructor)) static void init(void) {
    sign(0);
    met[0] = await(1) == 0;
}
