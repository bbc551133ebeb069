/* Can running code open a JITDylib? Its dlopen asks the controller, which links while the program waits. */
#include <stdio.h>

void *__orc_rt_jit_dlopen(const char *, int);
int __orc_rt_jit_dlclose(void *);
void *__orc_rt_jit_dlsym(void *, const char *);
const char *__orc_rt_jit_dlerror(void);

int main(void) {
    void *library = __orc_rt_jit_dlopen("second", 1);
    if (!library) {
        printf("refused: %s\n", __orc_rt_jit_dlerror());
        return 1;
    }
    int (*answer)(void) = (int (*)(void))__orc_rt_jit_dlsym(library, "answer");
    int value = answer();
    printf("answer %d\n", value);
    printf("closed %d\n", __orc_rt_jit_dlclose(library));
    return value;
}
