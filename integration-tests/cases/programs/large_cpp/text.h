#pragma once
#include <string>
std::string words_of(const std::string &text);
std::string dates_in(const std::string &text);
