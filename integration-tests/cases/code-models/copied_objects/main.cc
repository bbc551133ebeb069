// std::cout, std::cin and type information are the same objects for the program and a shared library that has used them before.
//#Shared: libhost.so host.cc
//#NativeFlags: -Wl,-rpath-link,.
//#Stdin: 77 rest
#include "host.h"
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <iostream>
int main() {
    std::cout << "addresses " << (host_cout() == &std::cout) << (host_table == &std::cout) << (host_stored() == &std::cout)
              << (host_tie() == &std::cout) << (std::cin.tie() == &std::cout) << (dlsym(RTLD_DEFAULT, "_ZSt4cout") == &std::cout) << "\n";
    std::cout << "types " << (&host_type() == &typeid(int)) << (host_type() == typeid(int)) << "\n";
    std::cout << "C " << (host_stdout() == &stdout) << (host_environ() == &environ) << "\n";
    host_set("COPIED", "by the library");
    int seen = 0;
    for (char **e = environ; *e; e++) seen += !std::strcmp(*e, "COPIED=by the library");
    std::cout << "environ " << seen << "\n" << std::hex;
    host_print(255);
    std::cout << std::dec << std::flush;
    std::cout.iword(20) = 4; // outgrows the words inside of the stream
    std::cout << "words " << host_word(20) << "\n";
    try {
        host_throw();
    } catch (int thrown) {
        std::cout << "caught " << thrown << "\n";
    }
    std::ios::sync_with_stdio(false);
    int number = 0;
    std::cout << "prompt ";
    std::cin >> number; // flushes what it is tied to
    std::cout << number << "\n";
    std::cout << "not flushed"; // but by exit
    return 0;
}
