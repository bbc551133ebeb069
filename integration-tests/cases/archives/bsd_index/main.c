// An archive with a BSD symbol index and BSD long names.
//#Make: libbsd.a = mv one.o a_member_with_a_rather_long_name.o && llvm-ar-19 rcs --format=bsd libbsd.a a_member_with_a_rather_long_name.o two.o
//#OrcInputs: main.c libbsd.a
//#NativeInputs: main.c a_member_with_a_rather_long_name.o two.o
#include <stdio.h>
int one(void);
int main(void) {
    printf("%d\n", one());
    return 0;
}
