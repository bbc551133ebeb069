/* The oracle's side of orc_rt.h: JITDylibs are shared libraries there, named as the dylib is. */
#include "orc_rt.h"

void *__orc_rt_jit_dlopen(const char *name, int mode) { return dlopen(name, mode); }
int __orc_rt_jit_dlclose(void *handle) { return dlclose(handle); }
void *__orc_rt_jit_dlsym(void *handle, const char *symbol) { return dlsym(handle, symbol); }
char *__orc_rt_jit_dlerror(void) { return dlerror(); }
/* Nothing is ever added to a shared library: an update of an open one has nothing to do. */
int __orc_rt_jit_dlupdate(void *handle) { return handle ? 0 : -1; }
int __orc_rt_jit_dladdr(const void *address, Dl_info *info) { return dladdr(address, info) ? 1 : 0; }
