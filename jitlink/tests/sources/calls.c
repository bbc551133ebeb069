/* Calls, jumps, tables of jumps and of functions, loops, floating point. */
int printf(const char *, ...);
void *memcpy(void *, const void *, unsigned long);
extern int shared, array[];
extern __thread int per_thread;
int weak_one(int) __attribute__((weak));
static int counter;
int weak_one(int x) { return x + counter; }
static __attribute__((noinline)) int local(int x) { return x * 7 + counter++; }
int choose(int x) {
    switch (x) {
    case 0: return printf("zero %d\n", shared);
    case 1: return local(3);
    case 2: return counter;
    case 3: return array[x + 2];
    case 4: return weak_one(5);
    case 5: return per_thread;
    case 6: return printf("six\n");
    case 7: return -1;
    case 9: return local(x) + array[1];
    }
    return x;
}
double mean(const double *values, int count) {
    double sum = 0;
    for (int i = 0; i < count; i++) sum += values[i] * 3.25 + 0x1p-30;
    return sum / count;
}
float less(float x) { return x - 1.5f; }
static int (*const functions[])(int) = { choose, weak_one, local };
int call(int which, int x) { return functions[which](x) + (which > 1 ? choose(x) : local(x)); }
int tail(int x) { counter = x; return choose(x - 1); }
void copy(char *to) { memcpy(to, "a text that is long enough to be copied by a call of a function", 64); }
unsigned long distance(void) { return (unsigned long)&&here - (unsigned long)&choose; here: return 0; }
int many(int *p, int n) { int s = 0; for (int i = 0; i < n; i++) { if (p[i] & 1) s += choose(p[i]); else s -= p[i] / 3; } return s; }
