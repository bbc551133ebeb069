// setjmp and longjmp across objects, variable arguments, alloca, computed sizes, signals, long double, 128-bit integers, vectors.
//#Libs: -lm
#include <alloca.h>
#include <complex.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
_Noreturn void jump(jmp_buf, int);
static int sum(int count, ...) {
    va_list list;
    va_start(list, count);
    int total = 0;
    for (int i = 0; i < count; i++) total += i % 2 ? (int)va_arg(list, double) : va_arg(list, int);
    va_end(list);
    return total;
}
static volatile sig_atomic_t signals;
static void on_signal(int signal) { signals += signal; }
typedef float v8 __attribute__((vector_size(32)));
static __attribute__((noinline)) v8 scale(v8 a, float by) { return a * by; }
int main(void) {
    jmp_buf back;
    int n = setjmp(back);
    if (n < 3) jump(back, n + 1);
    printf("%d %d\n", n, sum(4, 1, 2.0, 3, 4.0));
    char *text = alloca(100);
    strcpy(text, "alloca");
    int size = (int)strlen(text);
    char variable[size * 2];
    memset(variable, 'v', sizeof variable);
    printf("%s %.3s %zu\n", text, variable, sizeof variable);
    signal(SIGUSR1, on_signal);
    raise(SIGUSR1);
    printf("%d\n", signals == SIGUSR1);
    errno = 0;
    int bad = open("/does/not/exist", O_RDONLY);
    printf("%d %d\n", bad, errno == ENOENT);
    long double big = 1.0L / 3;
    unsigned __int128 wide = (unsigned __int128)1 << 100;
    volatile unsigned long divisor = 1000000007;
    printf("%.20Lf %llu\n", big, (unsigned long long)(wide / divisor % 1000000));
    double complex z = csqrt(-4.0 + 0 * I);
    printf("%.1f %.1f\n", creal(z), cimag(z));
    v8 vector = scale((v8){1, 2, 3, 4, 5, 6, 7, 8}, 1.5f);
    printf("%.1f %.1f\n", (double)vector[0], (double)vector[7]);
    return 0;
}
