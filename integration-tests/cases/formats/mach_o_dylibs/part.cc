#define JOIN2(a, b) a##b
#define JOIN(a, b) JOIN2(a, b)
#define TEXT2(a) #a
#define TEXT(a) TEXT2(a)
extern "C" int printf(const char *, ...);
namespace {
struct Part {
    int started = 0;
    Part() {
        printf("start of %s\n", TEXT(NAME));
        started++;
    }
    ~Part() { printf("end of %s\n", TEXT(NAME)); }
};
Part part;
} // namespace
extern "C" {
int JOIN(variable_, NAME) = 42;
__thread int JOIN(each_, NAME) = 7;
int *JOIN(place_, NAME)() { return &JOIN(each_, NAME); }
int JOIN(called_, NAME)() { return part.started; }
}
