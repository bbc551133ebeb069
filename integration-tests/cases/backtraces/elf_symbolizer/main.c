// A symbolizer that knows ELF only, as abseil's and many crash handlers do: it finds the object of an address by dl_iterate_phdr, opens its file by name and reads
// the symbol table there. Also in a forked child, for static functions, and in a dylib.
//#Dylib: P p.c
//#Needs: none
//#Flags: -O0 | -O2
//#Only: gcc pic | gcc pie | clang pic
#include "orc_rt.h"
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

struct search { unsigned long address, base; char path[300]; int found; };
static int visit(struct dl_phdr_info *info, size_t size, void *data) {
    struct search *search = data;
    (void)size;
    for (int at = 0; at < info->dlpi_phnum; at++) {
        const ElfW(Phdr) *one = &info->dlpi_phdr[at];
        unsigned long start = info->dlpi_addr + one->p_vaddr;
        if (one->p_type != PT_LOAD || search->address < start || search->address - start >= one->p_memsz) continue;
        search->base = info->dlpi_addr;
        snprintf(search->path, sizeof search->path, "%s", info->dlpi_name[0] ? info->dlpi_name : "/proc/self/exe");
        return search->found = 1;
    }
    return 0;
}

static void symbolize(const char *what, void *address) {
    struct search search = {.address = (unsigned long)address};
    if (!dl_iterate_phdr(visit, &search)) { printf("%s: in no object\n", what); return; }
    int file = open(search.path, O_RDONLY | O_CLOEXEC);
    struct stat status;
    if (file < 0 || fstat(file, &status)) { printf("%s: no file %s\n", what, search.path); return; }
    const char *bytes = mmap(0, status.st_size, PROT_READ, MAP_PRIVATE, file, 0);
    close(file);
    const Elf64_Ehdr *header = (const void *)bytes;
    const Elf64_Shdr *sections = (const void *)(bytes + header->e_shoff);
    const char *best = 0;
    unsigned long wanted = search.address - search.base;
    for (int at = 0; at < header->e_shnum; at++) {
        if (sections[at].sh_type != SHT_SYMTAB) continue;
        const Elf64_Sym *symbols = (const void *)(bytes + sections[at].sh_offset);
        const char *names = bytes + sections[sections[at].sh_link].sh_offset;
        for (unsigned long number = 0; number < sections[at].sh_size / sizeof *symbols; number++) {
            const Elf64_Sym *one = &symbols[number];
            if (ELF64_ST_TYPE(one->st_info) == STT_FUNC && one->st_value <= wanted && wanted < one->st_value + one->st_size) best = names + one->st_name;
        }
    }
    printf("%s: %s\n", what, best ? best : "?");
    fflush(stdout);
    munmap((void *)bytes, status.st_size);
}

__attribute__((noinline)) static int hidden_away(int value) { __asm__ volatile(""); return value + 1; }
__attribute__((noinline)) int seen_by_all(int value) { __asm__ volatile(""); return value + hidden_away(value); }

int main(void) {
    symbolize("function", (char *)seen_by_all + 4);
    symbolize("static function", (char *)hidden_away + 1);
    symbolize("data", &(int){0});
    void *p = __orc_rt_jit_dlopen("P", RTLD_NOW);
    char *function = __orc_rt_jit_dlsym(p, "function_of_p");
    symbolize("dylib", function + 1);
    pid_t child = fork();
    if (!child) {
        symbolize("dylib, in a child", function + 1);
        symbolize("main, in a child", (char *)main + 1);
        _exit(0);
    }
    int status;
    waitpid(child, &status, 0);
    __orc_rt_jit_dlclose(p);
    symbolize("closed", function + 1);
    printf("%d\n", status);
    return 0;
}
