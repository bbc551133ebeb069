// Code compiled for macOS: thread-local variables with one value for each thread, with constructors and destructors; static constructors, inline statics,
// virtual functions, exceptions. The native program is the same source compiled for Linux.
//#Compiler: clang
//#Pic: pic
//#Make: mach.o = clang++-19 --target=x86_64-apple-macosx14 $FLAGS -c $CASE/main.cc -o mach.o
//#NativeInputs: main.cc
//#OrcInputs: mach.o
//#Exit: 6
//#NotElsewhere: the objects are of x86-64
extern "C" int printf(const char *, ...);
extern "C" int pthread_create(void **, const void *, void *(*)(void *), void *);
extern "C" int pthread_join(void *, void **);
struct Tracer {
    int id;
    Tracer(int i) : id(i) { printf("construct %d\n", id); }
    ~Tracer() { printf("destroy %d\n", id); }
};
static Tracer global(7);
inline Tracer &once() {
    static Tracer t(8);
    return t;
}
thread_local int plain = 5;
static thread_local long zeros[3];
static int made;
struct PerThread {
    int n;
    PerThread() : n(100 + made++) {}
    ~PerThread() { printf("object of thread %d gone\n", n); }
};
thread_local PerThread per;
struct Base {
    virtual ~Base() {}
    virtual int f(int) = 0;
};
struct Derived : Base {
    int f(int x) override {
        if (x > 2) throw x * 10;
        return x;
    }
};
struct Guard {
    const char *name;
    ~Guard() { printf("leaving %s\n", name); }
};
__attribute__((noinline)) int deep(Base &b, int x) {
    Guard g{"deep"};
    return b.f(x) + 1;
}
static void *work(void *argument) {
    plain += (long)argument;
    zeros[1]--;
    printf("thread %ld: plain %d, zeros %ld, object %d\n", (long)argument, plain, zeros[1], per.n);
    try {
        throw plain;
    } catch (int caught) {
        return (void *)(long)caught;
    }
}
int main() {
    plain++;
    once();
    printf("main: plain %d, object %d\n", plain, per.n);
    for (long i = 10; i <= 20; i += 10) {
        void *thread, *result;
        pthread_create(&thread, 0, work, (void *)i);
        pthread_join(thread, &result);
        printf("joined %ld\n", (long)result);
    }
    printf("main: plain %d, zeros %ld\n", plain, zeros[1]);
    Derived d;
    Base *b = &d;
    try {
        printf("%d\n", deep(*b, 1));
        printf("%d\n", deep(*b, 3));
    } catch (int e) {
        printf("caught %d\n", e);
    }
    if (dynamic_cast<Derived *>(b)) printf("cast\n");
    return plain;
}
