#pragma once
#include <stdexcept>
#include <string>
// Its key function is in errors.cc: vtable and typeinfo exist once.
struct Error : std::runtime_error {
    using std::runtime_error::runtime_error;
    virtual int weight() const;
};
struct SyntaxError : Error {
    int position;
    SyntaxError(const std::string &text, int at) : Error(text), position(at) {}
    int weight() const override;
};
// No key function: every unit has its own copy in a COMDAT group.
template <int N> struct Numbered : Error {
    Numbered() : Error("numbered " + std::to_string(N)) {}
    int weight() const override { return N; }
};
