// A value that does not fit its field: kind, symbol, value, object and place.
//#Pic: nopic
//#ExpectError: wide_value
//#ExpectError: narrow.o
//#ExpectError: does not fit
//#ExpectError: .data
#include <stdio.h>
extern int narrow;
int main(void) {
    puts("ran");
    return narrow;
}
