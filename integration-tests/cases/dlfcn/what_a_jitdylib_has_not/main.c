// Where the system would show its link map, a JITDylib has none: dlinfo refuses and says so, dladdr1 gives the names and no further information, another
// namespace has no JITDylibs, no symbol has a version, so dlvsym takes any. A JITDylib comes before a library of the same name.
//#Rule: 29
//#Dylib: P p.c
//#Dylib: libz.so.1 z.c
//#Needs: none
//#Flags: -O1
//#Pic: pic
//#ExpectStdout: dlinfo -1, told 1
//#ExpectStdout: dladdr1 1 p P, nothing else 1
//#ExpectStdout: dlmopen 1
//#ExpectStdout: dlvsym 1
//#ExpectStdout: ours first: 42
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
int main(void) {
    void *p = dlopen("P", RTLD_NOW), *map = &map, *extra = &extra;
    int refused = dlinfo(p, RTLD_DI_LINKMAP, &map);
    printf("dlinfo %d, told %d\n", refused, dlerror() != 0);
    Dl_info info;
    int known = dladdr1(dlsym(p, "p"), &info, &extra, RTLD_DL_LINKMAP);
    printf("dladdr1 %d %s %s, nothing else %d\n", known, info.dli_sname, info.dli_fname, extra == 0);
    void *elsewhere = dlmopen(LM_ID_NEWLM, "P", RTLD_NOW);
    printf("dlmopen %d\n", elsewhere == 0 && dlerror() != 0);
    printf("dlvsym %d\n", dlvsym(p, "p", "ANY") == dlsym(p, "p"));
    void *z = dlopen("libz.so.1", RTLD_NOW);
    int (*answer)(void) = (int (*)(void))dlsym(z, "zlibVersion");
    printf("ours first: %d\n", answer());
    return 0;
}
