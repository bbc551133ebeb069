/* Opening by name with the error told, for the cases on dlopen. */
#include "orc_rt.h"
#include <stdio.h>
static inline void *open_or_tell(const char *name) {
    void *handle = __orc_rt_jit_dlopen(name, RTLD_NOW);
    if (!handle) {
        const char *error = __orc_rt_jit_dlerror();
        printf("cannot open %s: %s\n", name, error ? error : "no error told");
    }
    return handle;
}
