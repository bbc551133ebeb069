// References of all sorts: to functions and data here, in the other object and outside, near and by address, and thread-local ones.
extern int other_function(int), outside(int);
extern int other_data, other_array[64];
extern const char *const other_table[4];
static int own_data = 7;
static char own_bytes[3];
short own_shorts[5] = {1, 2};
__int128 own_wide = 3;
extern _Thread_local int other_thread_local;
static _Thread_local int own_thread_local = 5;
_Thread_local char shared_thread_local[40];

static int own_function(int x) {
    return x * own_data;
}
int (*const functions[])(int) = {own_function, other_function, outside};
int *const pointer_into = &other_array[7];

int load(int i) {
    return other_data + own_data + own_bytes[i] + own_shorts[i] + (int)own_wide + other_array[i] + other_table[i & 3][0];
}
void store(int i) {
    other_data = own_data = i;
    own_bytes[i] = own_shorts[i] = (short)i;
    own_wide = i;
}
int call(int i) {
    return functions[i & 1](i) + other_function(i) + outside(own_function(i));
}
void *address(int i) {
    return i ? (void *)&other_array[3] : (void *)own_function;
}
int thread_local_load(void) {
    return other_thread_local + own_thread_local + shared_thread_local[9];
}
void *thread_local_address(int i) {
    return i ? (void *)&other_thread_local : i < 9 ? (void *)&own_thread_local : (void *)&shared_thread_local[30];
}
int atomic(void) {
    return __atomic_fetch_add(&other_data, 1, __ATOMIC_SEQ_CST) + __atomic_exchange_n(&own_data, 2, __ATOMIC_ACQUIRE);
}
int branchy(int i) {
    switch (i) {
    case 0: return other_function(1);
    case 1: return load(2);
    case 2: store(3); return 4;
    case 3: return call(5);
    case 4: return atomic();
    case 5: return thread_local_load();
    default: return i > 100 ? outside(i) : 0;
    }
}
