#include <cstdio>
#include <iosfwd>
#include <typeinfo>
#include <unistd.h>
extern std::ostream *const host_table;
std::ostream *host_cout();
std::ostream *host_stored();
std::ostream *host_tie();
const std::type_info &host_type();
FILE **host_stdout();
char ***host_environ();
void host_set(const char *name, const char *value);
void host_print(int value);
long host_word(int index);
void host_throw();
