/* A dylib with the definitions of unified.h, and functions to compare it by: places_of_p, make_p and so on after `#define NAME p`. */
#include "unified.h"
#define CAT_(a, b) a##b
#define CAT(a, b) CAT_(a, b)
#define SIDE(what) CAT(CAT(what, _), NAME)
extern "C" Places SIDE(places_of)() { return places(); }
extern "C" Shape *SIDE(make)() { return new Square; }
extern "C" void SIDE(throw)(int code) { throw Failure(code); }
extern "C" int SIDE(sides)(Shape *shape) {
    Square *square = dynamic_cast<Square *>(shape);
    return square && typeid(*shape) == typeid(Square) ? square->sides() : -1;
}
extern "C" int SIDE(catch)(void (*thrower)(int)) {
    try {
        thrower(5);
    } catch (const Failure &failure) {
        return failure.code;
    } catch (...) {
    }
    return -1;
}
