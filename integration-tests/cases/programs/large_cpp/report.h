#pragma once
#include "registry.h"
void report(const std::string &name, const Result &result);
void summary(int passed, std::size_t all);
