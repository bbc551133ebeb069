#include "value.h"
extern "C" Places places_of_c() { return places(); }
extern "C" Shape *make_c() { return new Square; }
extern "C" void throw_c(int code) { throw Failure(code); }
extern "C" int sides_c(Shape *shape) {
    Square *square = dynamic_cast<Square *>(shape);
    return square && typeid(*shape) == typeid(Square) ? square->sides() : -1;
}
extern "C" int catch_c(void (*thrower)(int)) {
    try {
        thrower(5);
    } catch (const Failure &failure) {
        return failure.code;
    } catch (...) {
    }
    return -1;
}
