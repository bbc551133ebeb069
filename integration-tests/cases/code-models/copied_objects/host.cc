#include "host.h"
#include <cstdlib>
#include <iostream>
std::ostream *const host_table = &std::cout;
static std::ostream *stored;
static struct Store {
    Store() { stored = &std::cout; }
} store;
std::ostream *host_cout() { return &std::cout; }
std::ostream *host_stored() { return stored; }
std::ostream *host_tie() { return std::cin.tie(); }
const std::type_info &host_type() { return typeid(int); }
FILE **host_stdout() { return &stdout; }
char ***host_environ() { return &environ; }
void host_set(const char *name, const char *value) { setenv(name, value, 1); }
void host_print(int value) { std::cout << "library " << value << "\n"; }
long host_word(int index) { return std::cout.iword(index); }
void host_throw() { throw 42; }
