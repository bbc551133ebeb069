extern "C" {
int made, destroyed;
int use();
}
#ifdef PADDING
__thread char padding[PADDING] = {1};
#else
__thread char padding[8] = {1};
#endif
struct Noted {
    int value;
    Noted() : value(2) { __atomic_fetch_add(&made, 1, __ATOMIC_SEQ_CST); }
    ~Noted() { __atomic_fetch_add(&destroyed, value == 4 && padding[0] == 3, __ATOMIC_SEQ_CST); }
};
thread_local Noted noted;
template <typename T> struct Holder { static thread_local T value; };
template <typename T> thread_local T Holder<T>::value = T(1);
inline thread_local int counted = 0;
// 1 + 2 + 1 + 0, then 2 + 3 + 1 - ... : a sum that shows whether each began as it was defined.
int use() {
    int sum = padding[0]++ + noted.value++ + Holder<int>::value + counted;
    counted -= 2;
    return sum;
}
