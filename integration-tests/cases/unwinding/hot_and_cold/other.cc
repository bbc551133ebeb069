#include "parts.h"
int in_another_object(int n) {
    Note note{"in_another_object"};
    return parts<int>(n) + 100;
}
