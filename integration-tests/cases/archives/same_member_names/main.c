// Two members with the same file name, and names longer than the header's 16 bytes.
//#Make: libs.a = mkdir -p 1 2 && cp one.o 1/unit.o && cp two.o 2/unit.o && cp three.o a_rather_long_member_name_for_gnu.o && ar qcs libs.a 1/unit.o 2/unit.o a_rather_long_member_name_for_gnu.o
//#Inputs: main.c libs.a
#include <stdio.h>
int one(void);
int three(void);
int main(void) {
    printf("%d %d\n", one(), three());
    return 0;
}
