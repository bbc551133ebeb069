// Data that its library refers to directly cannot have a copy: the error says who refers to it, why, and what would help.
//#Pic: nopic
//#Shared: libown.so own.c
//#ExpectError: own_counter is out of reach ... main.o ... main ... cannot be copied ... libown.so ... compile with -fPIC
//#NotElsewhere: what is out of the reach of 32 bits here is not of a pair of instructions
#include <stdio.h>
extern int own_counter;
int own_count(void);
int main(void) {
    puts("ran");
    return own_count() + own_counter;
}
