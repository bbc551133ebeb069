#include "say.h"
static Say here("B's");
const char *b_name() {
    static Say lazy("B's lazy");
    return lazy.name;
}
