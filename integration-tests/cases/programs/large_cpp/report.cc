#include "report.h"
#include <iomanip>
#include <iostream>
#include <locale>
#include <sstream>
namespace {
struct Grouped : std::numpunct<char> {
    char do_thousands_sep() const override { return '_'; }
    std::string do_grouping() const override { return "\3"; }
};
}
void report(const std::string &name, const Result &result) {
    std::ostringstream line;
    line.imbue(std::locale(std::locale::classic(), new Grouped));
    line << std::left << std::setw(10) << name << std::right << std::setw(9) << result.value << (result.good ? "  good" : "  bad") << (result.text.empty() ? "" : "  ") << result.text;
    std::cout << line.str() << std::endl;
}
void summary(int passed, std::size_t all) {
    std::cout << passed << " of " << all << std::hex << std::showbase << ' ' << passed << std::dec << ' ' << std::fixed << std::setprecision(1) << 100.0 * passed / static_cast<double>(all) << "%\n";
}
