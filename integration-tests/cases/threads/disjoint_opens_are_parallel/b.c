#include "meet.h"
extern int met[2];
__attribute__((constructor)) static void init(void) {
    sign(1);
    met[1] = await(0) == 0;
}
