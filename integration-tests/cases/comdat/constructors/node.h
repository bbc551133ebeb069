#include <cstdio>
struct Root {
    int id;
    explicit Root(int i) : id(i) { std::printf("root %d\n", id); }
    virtual ~Root() { std::printf("~root %d\n", id); }
};
struct Base : virtual Root {
    Base() : Root(0) { std::puts("base"); }
    virtual int value() = 0;
    ~Base() override { std::puts("~base"); }
};
template <class T> struct Leaf : Base {
    T content;
    explicit Leaf(T c) : Root((int)c), content(c) { std::puts("leaf"); }
    int value() override { return (int)(content * sizeof(T)); }
    ~Leaf() override { std::puts("~leaf"); }
};
