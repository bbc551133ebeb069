#include "sorter.h"
#include <stdexcept>
#include <string>
int compare_numbers(const void *left, const void *right) {
    int a = *static_cast<const int *>(left), b = *static_cast<const int *>(right);
    std::string message = "negative among " + std::to_string(a) + " and " + std::to_string(b);
    if (a < 0 || b < 0) throw std::invalid_argument(message.substr(0, 8));
    return a < b ? -1 : a > b;
}
