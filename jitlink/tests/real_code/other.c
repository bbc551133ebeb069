// What code.c refers to.
extern int load(int);
extern short own_shorts[5];
int other_data;
int other_array[64] = {1};
static const char text[] = "text", more[] = "more text";
const char *const other_table[4] = {text, more, "three", text + 1};
_Thread_local int other_thread_local;
static _Thread_local long aligned __attribute__((aligned(64))) = 1;

int other_function(int x) {
    return load(x) + own_shorts[1] + (int)aligned++;
}
double constants(double x, int i) {
    return i ? x * 3.14159 + 2.71828 : x / 1e100;
}
