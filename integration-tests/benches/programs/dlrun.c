/* dlrun LIBRARY [ARGS...]: opens a shared library, calls its main, ends with main's value: how a program that was linked with
 * `LINKER -shared` is run, and what such a plug-in pays the dynamic loader. argv[0] of the called main is the library. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
    if (argc < 2) {
        fputs("usage: dlrun LIBRARY [ARGS...]\n", stderr);
        return 2;
    }
    void *library = dlopen(argv[1], RTLD_NOW | RTLD_GLOBAL);
    if (!library) {
        fprintf(stderr, "%s\n", dlerror());
        return 125;
    }
    int (*entry)(int, char **) = (int (*)(int, char **))dlsym(library, "main");
    if (!entry) {
        fprintf(stderr, "%s\n", dlerror());
        return 125;
    }
    exit(entry(argc - 1, argv + 1));
}
