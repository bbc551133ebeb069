// The names of dlfcn.h serve both worlds in turns: handles, counts and dlerror of system libraries stand beside those of JITDylibs; dlvsym, dlinfo and dladdr1 answer
// for the system, and dlmopen opens in the base namespace as dlopen does.
//#Rule: 17 29
//#Dylib: P p.c
//#Needs: none
//#Flags: -O1
//#Pic: pic
//#NativeFlags: -Wl,--no-as-needed
//#NotElsewhere: the native program dies in the emulator
#define _GNU_SOURCE
#include <dlfcn.h>
#include <link.h>
#include <stdio.h>
#include <string.h>
static int told(const char *word) {
    const char *error = dlerror();
    return error && strstr(error, word) != 0 && dlerror() == 0;
}
int main(void) {
    void *z = dlopen("libz.so.1", RTLD_NOW), *again = dlopen("libz.so.1", RTLD_LAZY), *p = dlopen("P", RTLD_NOW);
    printf("same %d, not P %d\n", z && z == again, z != p);
    const char *(*version)(void) = (const char *(*)(void))dlsym(z, "zlibVersion");
    printf("zlib %d\n", version && version()[0] == '1');
    printf("one error: %d\n", !dlsym(z, "only_in_dreams") && told("only_in_dreams"));
    printf("the other: %d\n", !dlsym(p, "only_in_p_s_dreams") && told("only_in_p_s_dreams"));
    printf("the later one is told: %d\n", !dlsym(p, "first") && !dlopen("libof_dreams.so.1", RTLD_NOW) && told("libof_dreams.so.1"));
    void *c = dlopen("libc.so.6", RTLD_NOW | RTLD_NOLOAD);
    printf("versions: %d %d\n", dlvsym(c, "puts", "GLIBC_2.2.5") != 0, !dlvsym(c, "puts", "GLIBC_1.0") && dlerror());
    struct link_map *map = 0;
    printf("link map: %d %d\n", dlinfo(z, RTLD_DI_LINKMAP, &map), map && strstr(map->l_name, "libz") != 0);
    Dl_info info;
    map = 0;
    printf("dladdr1: %d %d\n", dladdr1((void *)version, &info, (void **)&map, RTLD_DL_LINKMAP) != 0, map && strstr(map->l_name, "libz") != 0);
    void *base = dlmopen(LM_ID_BASE, "P", RTLD_NOW);
    printf("dlmopen: %d\n", base == p);
    void *system = dlmopen(LM_ID_BASE, "libz.so.1", RTLD_NOW);
    printf("dlmopen: %d\n", system == z);
    printf("%d %d %d %d\n", dlclose(system), dlclose(again), dlclose(base), dlclose(c));
    printf("P still %d, zlib still %d\n", dlopen("P", RTLD_NOW | RTLD_NOLOAD) == p, dlopen("libz.so.1", RTLD_NOW | RTLD_NOLOAD) == z);
    printf("%d %d %d %d\n", dlclose(p), dlclose(z), dlclose(p), dlclose(z));
    printf("P gone %d, zlib gone %d\n", !dlopen("P", RTLD_NOW | RTLD_NOLOAD), !dlopen("libz.so.1", RTLD_NOW | RTLD_NOLOAD));
    return 0;
}
