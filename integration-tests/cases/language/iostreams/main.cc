// Streams, locales, strings, maps, regular expressions, sorting with lambdas, shared pointers, variants.
//#Stdin: the quick brown fox
//#Stdin: jumps over the lazy dog 42
//#Pic: pic pie
#include <algorithm>
#include <iomanip>
#include <iostream>
#include <map>
#include <memory>
#include <numeric>
#include <regex>
#include <sstream>
#include <string>
#include <variant>
#include <vector>
int main() {
    std::map<std::string, int> counts;
    std::string line;
    while (std::getline(std::cin, line)) {
        std::istringstream words(line);
        for (std::string word; words >> word;) counts[word]++;
    }
    for (const auto &[word, count] : counts) std::cout << std::setw(6) << word << ' ' << count << '\n';
    std::regex pattern("([a-z]+)o([a-z]*)");
    for (const auto &entry : counts) {
        std::smatch match;
        if (std::regex_match(entry.first, match, pattern)) std::cout << match[1] << '|' << match[2] << std::endl;
    }
    std::vector<int> values(10);
    std::iota(values.begin(), values.end(), 1);
    std::sort(values.begin(), values.end(), [](int a, int b) { return a % 3 != b % 3 ? a % 3 < b % 3 : a < b; });
    for (int value : values) std::cout << value << ' ';
    auto shared = std::make_shared<std::string>("shared");
    std::weak_ptr<std::string> weak = shared;
    std::cout << *weak.lock() << ' ' << shared.use_count() << '\n';
    std::variant<int, std::string> either = "text";
    std::cout << std::get<std::string>(either) << ' ' << std::hex << std::showbase << 255 << ' ' << std::fixed << std::setprecision(3) << 3.14159 << '\n';
    std::cerr << "to standard error\n";
    return 0;
}
