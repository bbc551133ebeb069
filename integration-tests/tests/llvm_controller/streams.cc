// Do the streams of C++ work, with and without initializers of the program's own?
#include <iomanip>
#include <iostream>
#include <sstream>

int main() {
    std::ostringstream text;
    text << std::setw(6) << std::setprecision(3) << 2.71828;
    std::cout << "[" << text.str() << "]" << std::endl;
    return 4;
}
