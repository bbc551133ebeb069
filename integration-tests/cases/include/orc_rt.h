/* The C names of the JIT's loader. Natively they are stand-ins for dlfcn.h (native_rt.c), so that one source serves both sides. */
#ifndef ORC_RT_H
#define ORC_RT_H
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dlfcn.h>

#ifdef __cplusplus
extern "C" {
#endif
void *__orc_rt_jit_dlopen(const char *name, int mode);
int __orc_rt_jit_dlclose(void *handle);
void *__orc_rt_jit_dlsym(void *handle, const char *symbol);
char *__orc_rt_jit_dlerror(void);
int __orc_rt_jit_dlupdate(void *handle);
int __orc_rt_jit_dladdr(const void *address, Dl_info *info);
#ifdef __cplusplus
}
#endif
#endif
