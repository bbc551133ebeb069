#include "basket.h"
int other() {
    shop::Basket basket;
    return basket.add(1, "x");
}
