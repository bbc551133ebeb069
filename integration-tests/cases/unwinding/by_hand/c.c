#include "frames.h"
void middle(void (*function)(void)) {
    int kept __attribute__((cleanup(cleanup))) = 3;
    function();
    kept = 4;
}
