// What the program defines is asked for first, also by a dylib that is opened late.
//#Rule: 30
//#Dylib: P p.cc
//#Needs: none
//#Flags: -O1
//#Pic: pic

#include "open.h"
#include "unified_opened.h"
int main() {
    void *p = open_or_tell("P");
    printf("same: %d\n", same(places(), get<GetPlaces>(p, "places_of_p")()));
    Square square;
    printf("cast %d\n", get<Sides>(p, "sides_p")(&square));
    try {
        get<Throw>(p, "throw_p")(6);
    } catch (const Failure &failure) {
        printf("caught %d\n", failure.code);
    }
    return 0;
}
