// A JITDylib has no dynamic section and no place in the system's list: its link map stands alone, and dlinfo refuses what needs either and says so. Another
// namespace has no JITDylibs, no symbol has a version, so dlvsym takes any. A JITDylib comes before a library of the same name.
//#NotLazy: what is linked later is an object of its own, with a link map of its own
//#Rule: 29
//#Dylib: P p.c
//#Dylib: libz.so.1 z.c
//#Needs: none
//#Flags: -O1
//#Pic: pic
//#ExpectStdout: dlinfo -1, told 1
//#ExpectStdout: dlinfo 0, P 1, alone 1
//#ExpectStdout: dladdr1 1 p P, the same map 1
//#ExpectStdout: dladdr1 1, at 1
//#ExpectStdout: dlmopen 1
//#ExpectStdout: dlvsym 1
//#ExpectStdout: ours first: 42
#define _GNU_SOURCE
#include <dlfcn.h>
#include <link.h>
#include <stdio.h>
int main(void) {
    void *p = dlopen("P", RTLD_NOW);
    Dl_serinfo paths;
    int refused = dlinfo(p, RTLD_DI_SERINFOSIZE, &paths);
    printf("dlinfo %d, told %d\n", refused, dlerror() != 0);
    struct link_map *map = 0, *same = 0;
    int given = dlinfo(p, RTLD_DI_LINKMAP, &map);
    printf("dlinfo %d, %s %d, alone %d\n", given, map->l_name, map->l_addr != 0, !map->l_next && !map->l_prev && !map->l_ld);
    Dl_info info;
    int known = dladdr1(dlsym(p, "p"), &info, (void **)&same, RTLD_DL_LINKMAP);
    printf("dladdr1 %d %s %s, the same map %d\n", known, info.dli_sname, info.dli_fname, same == map);
    ElfW(Sym) *symbol = 0;
    known = dladdr1(dlsym(p, "p"), &info, (void **)&symbol, RTLD_DL_SYMENT);
    printf("dladdr1 %d, at %d\n", known, map->l_addr + symbol->st_value == (unsigned long)info.dli_saddr);
    void *elsewhere = dlmopen(LM_ID_NEWLM, "P", RTLD_NOW);
    printf("dlmopen %d\n", elsewhere == 0 && dlerror() != 0);
    printf("dlvsym %d\n", dlvsym(p, "p", "ANY") == dlsym(p, "p"));
    void *z = dlopen("libz.so.1", RTLD_NOW);
    int (*answer)(void) = (int (*)(void))dlsym(z, "zlibVersion");
    printf("ours first: %d\n", answer());
    return 0;
}
