// The same program spread over three dylibs: exceptions, RTTI, COMDAT statics and registrations cross their borders.
//#Dylib: Core ../large_cpp/errors.cc ../large_cpp/registry.cc ../large_cpp/attempt.cc ../large_cpp/shapes.cc
//#Dylib: Tools ../large_cpp/matrix_*.cc ../large_cpp/parser.cc ../large_cpp/report.cc ../large_cpp/sorter.cc ../large_cpp/compare.cc ../large_cpp/words.cc ../large_cpp/dates.cc ../large_cpp/workers.cc needs Core
//#Dylib: Units ../large_cpp/unit_*.cc needs Core
//#Compiler: gcc
//#Pic: pic
//#Flags: -O1
//#Libs: -lpthread
//#Stdin: 1 + 2 * (3 - 4)
//#Stdin: 2 ^ 10 / 0
//#Stdin: (7 + 1
//#Exit: 30
#include "../large_cpp/main.cc"
