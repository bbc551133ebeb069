// Every C name of the loader: open, lookup, error, update, address, close, a program that is run from inside one, and the way to the controller.
//#Rule: 29
//#Dylib: P p.c
//#Needs: none
//#Flags: -O1
//#Pic: pic
//#ExpectStdout: init P
//#ExpectStdout: lookup 1, update 0, address 1 work
//#ExpectStdout: init INSIDE or P: already
//#ExpectStdout: P's own main: 3 arguments, the last is c
//#ExpectStdout: it returned 33
//#ExpectStdout: no entry -1, told 1
//#ExpectStdout: no dylib -1, told 1
//#ExpectStdout: unknown tag refused 1
//#ExpectStdout: fini P
//#ExpectStdout: closed 0
#include "open.h"
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
int64_t __orc_rt_run_program(const char *dylib, const char *entry, int argc, char **argv);
/* As LLVM's CWrapperFunctionResult: up to eight bytes in place, else malloc'd; an error has size 0 and a text. */
struct result {
    union { char *pointer; char value[sizeof(char *)]; } data;
    size_t size;
};
struct result __orc_rt_jit_dispatch(void *context, const void *tag, const char *arguments, size_t size);
int main(void) {
    void *p = __orc_rt_jit_dlopen("P", RTLD_NOW);
    void *work = __orc_rt_jit_dlsym(p, "work");
    Dl_info info;
    int known = __orc_rt_jit_dladdr(work, &info);
    printf("lookup %d, update %d, address %d %s\n", work != 0, __orc_rt_jit_dlupdate(p), known, info.dli_sname);
    puts("init INSIDE or P: already");
    char *arguments[] = {"a", "b", "c", 0};
    printf("it returned %ld\n", (long)__orc_rt_run_program("P", "main_of_p", 3, arguments));
    int64_t code = __orc_rt_run_program("P", "no_such_entry", 0, arguments);
    const char *error = __orc_rt_jit_dlerror();
    printf("no entry %ld, told %d\n", (long)code, error && strstr(error, "no_such_entry") != 0);
    code = __orc_rt_run_program("NO_SUCH", "main", 0, arguments);
    error = __orc_rt_jit_dlerror();
    printf("no dylib %ld, told %d\n", (long)code, error && strstr(error, "NO_SUCH") != 0);
    struct result answer = __orc_rt_jit_dispatch(0, (void *)0x77, "", 0);
    printf("unknown tag refused %d\n", answer.size == 0 && answer.data.pointer && strlen(answer.data.pointer) > 5);
    if (answer.size == 0) free(answer.data.pointer);
    printf("closed %d\n", __orc_rt_jit_dlclose(p));
    return 0;
}
