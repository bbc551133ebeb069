#pragma once
#include <vector>
void sort_and_tell(std::vector<int> values);
// Used as a callback of qsort; throws std::invalid_argument on a negative number.
int compare_numbers(const void *left, const void *right);
