#include "text.h"
#include <algorithm>
#include <iterator>
#include <set>
#include <sstream>
std::string words_of(const std::string &text) {
    std::istringstream in(text);
    std::set<std::string> words{std::istream_iterator<std::string>(in), std::istream_iterator<std::string>()};
    std::ostringstream out;
    std::transform(words.begin(), words.end(), std::ostream_iterator<std::string>(out, "|"), [](std::string word) {
        std::transform(word.begin(), word.end(), word.begin(), [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
        return word;
    });
    return out.str();
}
