// Names that macOS's C library has and this system's has under another name, or not at all, and what compilers for macOS refer to by themselves.
//#Compiler: clang
//#Pic: pic
//#Make: mach.o = clang-19 --target=x86_64-apple-macosx14 $FLAGS -fstack-protector-all -c $CASE/main.c -o mach.o
//#NativeInputs: main.c
//#Libs: -lm
//#OrcInputs: mach.o
//#Exit: 3
//#NotElsewhere: the objects are of x86-64
int printf(const char *, ...);
int puts(const char *);
void *malloc(unsigned long);
void free(void *);
long strtol(const char *, char **, int);
void qsort(void *, unsigned long, unsigned long, int (*)(const void *, const void *));
double sin(double), cos(double);
int fputs(const char *, void *);
int atexit(void (*)(void));
void exit(int);
#ifdef __APPLE__
extern void *__stdoutp;
#define out __stdoutp
extern int *__error(void);
#define number (*__error())
#else
extern void *stdout;
#define out stdout
extern int *__errno_location(void);
#define number (*__errno_location())
#endif
extern int missing(int) __attribute__((weak));
int tentative[100];
long also_tentative;
static unsigned words[64];
static int ascending(const void *a, const void *b) { return *(const int *)a - *(const int *)b; }
static void last(void) { fputs("last\n", out); }
__attribute__((noinline)) static unsigned long large(int n) {
    volatile char buffer[70000];
    for (unsigned i = 0; i < sizeof buffer; i += 4096) buffer[i] = (char)(i / 4096 + n);
    unsigned long sum = 0;
    for (unsigned i = 0; i < sizeof buffer; i += 4096) sum += buffer[i];
    return sum;
}
__attribute__((constructor)) static void first(void) { fputs("first\n", out); }
int main(int argc, char **argv) {
    fputs("standard output\n", out);
    number = 0;
    long value = strtol("99999999999999999999", 0, 10);
    printf("%ld, error %d\n", value, number);
    // A loop that stores one value becomes memset_pattern16, and sine and cosine of one angle become one call.
    for (int i = 0; i < 64; i++) words[i] = 0xabcd1234u;
    printf("%x %x\n", words[0], words[63]);
    double angle = argc * 0.5;
    printf("%.15f %.15f\n", sin(angle), cos(angle));
    int values[] = {5, 3, 9, 1};
    qsort(values, 4, sizeof *values, ascending);
    printf("%d %d %d %d\n", values[0], values[1], values[2], values[3]);
    tentative[99] = 4;
    also_tentative += tentative[99];
    printf("%ld %lu %d\n", also_tentative, large(argc), missing ? missing(1) : -1);
    char *block = malloc(16);
    block[0] = argv[0][0];
    free(block);
    atexit(last);
    exit(3);
}
