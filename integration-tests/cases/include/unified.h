/* Definitions that dylibs have in common and of which there has to be one: types, vtables, statics, inline functions (rule 30). */
#pragma once
#include <typeinfo>
struct Shape {
    virtual ~Shape() {}
    virtual int sides() const { return 0; }
};
struct Square : Shape {
    int sides() const override { return 4; }
};
struct Failure {
    int code;
    explicit Failure(int code) : code(code) {}
    virtual ~Failure() {}
};
template <class T> struct Counted {
    static int count;
};
template <class T> int Counted<T>::count = 1;
inline int inline_variable = 1;
inline int &function_static() {
    static int value = 1;
    return value;
}
template <class T> int &template_function_static() {
    static T value = 1;
    return value;
}
inline int inline_function() { return 7; }
/* Addresses of all that has to be one. */
struct Places {
    const void *type, *vtable, *counted, *variable, *local, *template_local, *function;
};
static inline Places places() {
    Square square;
    return {&typeid(Shape), *(void **)&square, &Counted<Shape>::count, &inline_variable, &function_static(), &template_function_static<int>(),
            (const void *)inline_function};
}
static inline int same(const Places &a, const Places &b) {
    return (a.vtable == b.vtable) + 2 * (a.counted == b.counted) + 4 * (a.variable == b.variable) + 8 * (a.local == b.local) +
           16 * (a.template_local == b.template_local) + 32 * (a.function == b.function) + 64 * (a.type == b.type);
}
