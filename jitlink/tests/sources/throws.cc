// Exceptions, virtual functions, inline functions.
extern "C" int choose(int);
struct Base { virtual ~Base(); virtual int value(int) = 0; int x; };
struct Derived : Base { int value(int y) override; ~Derived() override { choose(x); } };
Base::~Base() {}
int Derived::value(int y) { if (y > x) throw y; if (y < 0) throw "negative"; return choose(y); }
inline int twice(int x) { static int last; int r = last; last = x; return r + choose(x); }
int guarded(Base &base, int y) {
    try { Derived d; d.x = y; return base.value(y) + d.value(y - 1) + twice(y); }
    catch (int e) { return e; }
    catch (const char *text) { return text[0]; }
}
Base *make(int x) { auto *d = new Derived; d->x = x; return d; }
void forget(Base *base) { delete base; }
