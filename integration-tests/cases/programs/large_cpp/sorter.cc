#include "sorter.h"
#include <cstdlib>
#include <iostream>
#include <stdexcept>
void sort_and_tell(std::vector<int> values) {
    try {
        std::qsort(values.data(), values.size(), sizeof(int), compare_numbers);
        for (int value : values) std::cout << value << ' ';
        std::cout << "sorted\n";
    } catch (const std::invalid_argument &error) {
        std::cout << error.what() << '\n';
    }
}
