#include <exception>
struct Inline {
    int code;
    explicit Inline(int c) : code(c) {}
    virtual ~Inline() {}
};
struct Keyed : std::exception {
    const char *what() const noexcept override;
};
template <class T> struct Templated {
    T value;
};
struct Shape {
    virtual ~Shape() {}
};
struct Round : Shape {};
