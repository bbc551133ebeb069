// Templates that both files of C++ have, initializers, and thread-local variables with constructors.
extern "C" int choose(int);
inline int twice(int x) { static int last; int r = last; last = x; return r + choose(x); }
template <class T> struct List {
    T *items = nullptr; int count = 0;
    ~List() { delete[] items; }
    void add(T item) { T *more = new T[count + 1]; for (int i = 0; i < count; i++) more[i] = items[i]; more[count++] = item; delete[] items; items = more; }
    T sum() const { T all = T(); for (int i = 0; i < count; i++) all = all + items[i]; return all; }
};
static List<int> numbers; static List<double> reals;
int add(int x) { numbers.add(x); reals.add(x * 1.5); return numbers.sum() + int(reals.sum()) + twice(x); }
struct Local { int x; Local(); ~Local(); };
thread_local Local per_thread_object;
int of_thread() { return per_thread_object.x; }
template <int N> int nested(int x) { if (x == N) throw N; return nested<N - 1>(x) + N; }
template <> int nested<0>(int x) { return choose(x); }
int all(int x) { try { return nested<6>(x); } catch (...) { return 0; } }
