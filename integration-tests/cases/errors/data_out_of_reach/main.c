// Data that its library refers to directly cannot have a copy: the error says who refers to it, why, and what would help.
//#Pic: nopic
//#Shared: libown.so own.c
//#ExpectError: own_counter is out of reach ... main.o ... main ... cannot be copied ... libown.so ... compile with -fPIC
#include <stdio.h>
extern int own_counter;
int own_count(void);
int main(void) {
    puts("ran");
    return own_count() + own_counter;
}
