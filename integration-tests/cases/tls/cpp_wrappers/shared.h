#pragma once
#include <string>
extern thread_local std::string imported;
int seed();
inline thread_local int inline_variable = seed();
template <class T> struct Holder { static thread_local int value; };
template <class T> thread_local int Holder<T>::value = seed() + sizeof(T);
int other_inline();
int *address_of_inline();
int *address_of_value();
const char *local_name();
