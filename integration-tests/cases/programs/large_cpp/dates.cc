#include "text.h"
#include <regex>
std::string dates_in(const std::string &text) {
    static const std::regex date(R"((\d{4})-(0\d|1[0-2])-([0-3]\d))");
    std::string found;
    for (std::sregex_iterator at(text.begin(), text.end(), date), end; at != end; ++at) found += (*at)[3].str() + '.' + (*at)[2].str() + '.' + (*at)[1].str() + ' ';
    return found + std::regex_replace(text, std::regex("[0-9]+"), "#");
}
