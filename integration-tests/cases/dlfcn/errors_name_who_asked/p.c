#include "orc_rt.h"
volatile int calls;
void ask(void *handle) {
    calls += __orc_rt_jit_dlsym(handle, "missing_in_q") == 0;
}
