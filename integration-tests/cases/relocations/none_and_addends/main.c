// R_X86_64_NONE only keeps its target alive; addends of every sign on section symbols, with instructions that end in immediates.
//#Pic: pic nopic
#include <stdio.h>
int stores(void), compares(void), negative(void), past_the_end(void);
int main(void) {
    printf("%d %d %d %d\n", stores(), compares(), negative(), past_the_end());
    return 0;
}
