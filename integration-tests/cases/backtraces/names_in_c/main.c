// backtrace_symbols, backtrace_symbols_fd, dladdr1 and dl_iterate_phdr in a program and its dylib: each return address has its function and its object, which is listed once.
//#NotLazy: what is linked later is an object of its own in dl_iterate_phdr, and stubs have no unwind table
//#Dylib: P p.c
//#Needs: none
//#Flags: -O0 | -O1 -fno-optimize-sibling-calls
//#Only: gcc pic | gcc pie | clang pic
//#NativeFlags: -rdynamic
#include "orc_rt.h"
#include <execinfo.h>
#include <fcntl.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The name in `object(name+0x12) [0x...]`, and whether the rest has that form for this address. */
static void check(const char *words, void *address, const char *after) {
    char name[100] = "?", expected[40];
    const char *open = strrchr(words, '('), *plus = open ? strchr(open, '+') : 0;
    snprintf(expected, sizeof expected, "%s[%p]", after, address);
    if (plus) snprintf(name, sizeof name, "%.*s", (int)(plus - open - 1), open + 1);
    const char *close = plus ? strchr(plus, ')') : 0;
    printf("  %s %s\n", name, close && !strcmp(close + 1, expected) ? "as it should be" : words);
}

__attribute__((noinline, visibility("default"))) void tell(void) {
    void *frames[32];
    int count = backtrace(frames, 32), fd[2], shown = 0;
    char **words = backtrace_symbols(frames, count), buffer[8192];
    /* Below main is whoever called it. */
    for (; shown < count; shown++) {
        check(words[shown], frames[shown], " ");
        if (strstr(words[shown], "(main+")) break;
    }
    free(words);
    if (pipe(fd)) exit(2);
    backtrace_symbols_fd(frames, shown + 1, fd[1]);
    close(fd[1]);
    int size = 0, got;
    while ((got = read(fd[0], buffer + size, sizeof buffer - 1 - size)) > 0) size += got;
    close(fd[0]);
    buffer[size] = 0;
    char *line = strtok(buffer, "\n");
    for (int at = 0; line && at <= shown; at++, line = strtok(0, "\n")) check(line, frames[at], "");
    puts("done");
}

struct search { unsigned long address; int objects, found; const ElfW(Phdr) *unwind; unsigned long long adds; };
static int visit(struct dl_phdr_info *info, size_t size, void *data) {
    struct search *search = data;
    int here = 0;
    const ElfW(Phdr) *unwind = 0;
    for (int at = 0; at < info->dlpi_phnum; at++) {
        const ElfW(Phdr) *one = &info->dlpi_phdr[at];
        unsigned long start = info->dlpi_addr + one->p_vaddr;
        if (one->p_type == PT_LOAD && start <= search->address && search->address - start < one->p_memsz) here = 1;
        if (one->p_type == PT_GNU_EH_FRAME) unwind = one;
    }
    if (here) search->found++, search->unwind = unwind;
    search->objects++;
    if (size >= sizeof *info) search->adds = info->dlpi_adds - info->dlpi_subs;
    return 0;
}
static struct search look_for(void *address) {
    struct search search = {(unsigned long)address, 0, 0, 0, 0};
    dl_iterate_phdr(visit, &search);
    return search;
}
static int stop(struct dl_phdr_info *info, size_t size, void *data) { return (void)info, (void)size, ++*(int *)data == 2 ? 42 : 0; }

static void object_of(const char *what, void *address) {
    Dl_info info;
    struct link_map *map = 0;
    struct search search = look_for(address);
    int known = dladdr1(address, &info, (void **)&map, RTLD_DL_LINKMAP);
    const char *slash = known ? strrchr(info.dli_fname, '/') : 0;
    printf("%s: listed %d, unwind table %d, known %d, %s in %s, map %d\n", what, search.found, search.unwind != 0, known,
           known && info.dli_sname ? info.dli_sname : "?", !known ? "?" : strcmp(what, "P") ? "the program" : slash ? slash + 1 : info.dli_fname,
           map && map->l_name != 0);
}

__attribute__((noinline)) void through(void (*function)(void)) { function(); __asm__ volatile("" ::: "memory"); }

int main(void) {
    void *frame;
    /* Natively this loads the unwinder. */
    backtrace(&frame, 1);
    int before = look_for(main).objects;
    object_of("main", main);
    void *p = __orc_rt_jit_dlopen("P", RTLD_NOW);
    void (*middle)(void (*)(void)) = (void (*)(void (*)(void)))__orc_rt_jit_dlsym(p, "middle_of_p");
    struct search with = look_for(middle);
    object_of("P", middle);
    printf("one more %d, counted %d\n", with.objects - before, with.adds == (unsigned long long)with.objects);
    middle(tell);
    through(tell);
    int calls = 0;
    printf("stopped with %d after %d\n", dl_iterate_phdr(stop, &calls), calls);
    __orc_rt_jit_dlclose(p);
    printf("one less %d, gone %d\n", with.objects - look_for(main).objects, !look_for(middle).found);
    puts(look_for(&calls).found ? "the stack is an object" : "the stack is none");
    return 0;
}
