// A library that is opened later, and its initializer, use the objects that the program uses.
//#Shared: libplugin.so plugin.c
//#Inputs: main.c
//#Libs: -ldl
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
extern char **environ;
int main(void) {
    static char *mine[] = {"PLUGIN=yes", 0};
    printf("%d\n", environ != 0);
    environ = mine;
    void *plugin = dlopen("./libplugin.so", RTLD_NOW);
    if (!plugin) return printf("%s\n", dlerror()), 1;
    FILE ***at_start = dlsym(plugin, "at_start");
    FILE **(*now)(void) = (FILE * *(*)(void)) dlsym(plugin, "now");
    char **text = dlsym(plugin, "text");
    printf("%d %d %s\n", *at_start == &stdout, now() == &stdout, *text);
    printf("%d\n", dlsym(RTLD_DEFAULT, "environ") == (void *)&environ);
    return dlclose(plugin);
}
