#include "value.h"
extern "C" Places places_of_p() { return places(); }
extern "C" Shape *make_p() { return new Square; }
extern "C" void throw_p(int code) { throw Failure(code); }
extern "C" int sides_p(Shape *shape) {
    Square *square = dynamic_cast<Square *>(shape);
    return square && typeid(*shape) == typeid(Square) ? square->sides() : -1;
}
extern "C" int catch_p(void (*thrower)(int)) {
    try {
        thrower(5);
    } catch (const Failure &failure) {
        return failure.code;
    } catch (...) {
    }
    return -1;
}
