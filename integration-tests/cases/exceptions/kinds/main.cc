// Catch by type, base, value, pointer, ellipsis; rethrow; nested; function try blocks; what() of the library's own.
//#Pic: pic nopic
#include <cstdio>
#include <exception>
#include <new>
#include <stdexcept>
#include <vector>
struct Base {
    virtual ~Base() {}
    virtual const char *name() const { return "Base"; }
};
struct Side {
    int side = 4;
};
struct Derived : Side, Base {
    const char *name() const override { return "Derived"; }
};
static void thrower(int n) {
    switch (n) {
    case 0: throw 1;
    case 1: throw 2.5;
    case 2: throw Derived();
    case 3: throw "text";
    case 4: throw std::runtime_error("runtime");
    case 5: (void)std::vector<int>(3).at(7); break;
    case 6: throw std::bad_alloc();
    case 7: {
        static const Derived *volatile kept = new Derived;
        throw kept;
    }
    default: throw 'c';
    }
}
struct Member {
    Member(int n) try : unused(n) { thrower(n); } catch (...) { std::puts("function try"); }
    int unused;
};
int main() {
    for (int i = 0; i < 9; i++) {
        try {
            try {
                thrower(i);
            } catch (const std::exception &) {
                throw;
            } catch (double d) {
                std::printf("double %g, nested ", d);
                try {
                    throw i;
                } catch (int n) {
                    std::printf("%d\n", n);
                }
            }
        } catch (int n) {
            std::printf("int %d\n", n);
        } catch (const Base &base) {
            std::printf("base %s\n", base.name());
        } catch (const Base *base) {
            std::printf("pointer %s\n", base->name());
        } catch (const char *text) {
            std::printf("text %s\n", text);
        } catch (const std::exception &error) {
            std::printf("exception %s\n", error.what());
        } catch (...) {
            std::printf("other, %d pending\n", std::uncaught_exceptions());
        }
    }
    try {
        Member member(0);
    } catch (int n) {
        std::printf("again %d\n", n);
    }
    return 0;
}
