// Classes of libstdc++ used by absolute address: virtual tables, construction tables, type information of built-in types, streams.
#include <fstream>
#include <iostream>
#include <locale>
#include <sstream>
#include <stdexcept>
#include <streambuf>
#include <string>
#include <typeinfo>
struct Counting : std::streambuf { // overrides two entries of a table of the library
    int count = 0;
    int overflow(int c) override { return count++, c; }
    std::streamsize xsputn(const char *, std::streamsize n) override { return count += n, n; }
};
struct Stream : std::ostringstream { // virtual base in the library
    int extra = 1;
    ~Stream() override { std::cout << "~Stream " << extra << "\n"; }
};
struct Comma : std::numpunct<char> {
    char do_decimal_point() const override { return ','; }
};
struct Base {
    virtual ~Base() = default;
    int base = 1;
};
struct Left : virtual Base {
    int left = 2;
};
struct Right : virtual Base {
    int right = 3;
};
struct Both : Left, Right {
    int both = 4;
};
struct Failure : std::runtime_error {
    using std::runtime_error::runtime_error;
};
template <class T> static void thrown(T value) {
    try {
        throw value;
    } catch (int) {
        std::cout << "int ";
    } catch (const char *) {
        std::cout << "text ";
    } catch (unsigned long long) {
        std::cout << "long ";
    } catch (std::logic_error &error) {
        std::cout << "logic " << error.what() << " ";
    } catch (std::exception &error) {
        std::cout << typeid(error).name() << " " << error.what() << " ";
    } catch (Base &base) {
        std::cout << "base " << base.base << " ";
    } catch (...) {
        std::cout << "other ";
    }
}
int main() {
    Counting counting;
    std::ostream counted(&counting);
    counted << "four" << 5 << std::endl;
    std::cout << "counted " << counting.count << "\n";
    {
        Stream stream;
        stream << 1.5 << " " << std::hex << 255;
        std::ostream &base = stream;
        std::cout << stream.str() << " " << (dynamic_cast<Stream *>(&base) == &stream) << " " << typeid(base).name() << "\n";
    }
    std::stringstream both("12 words");
    both.imbue(std::locale(std::locale::classic(), new Comma));
    int number;
    std::string word;
    both >> number >> word;
    both.clear();
    both << 2.5;
    std::cout << number << word << both.str() << "\n";
    thrown(1), thrown("x"), thrown(1ull), thrown(std::out_of_range("range")), thrown(Failure("failure")), thrown(Both()), thrown(1.0);
    std::cout << "\n";
    try {
        std::cout << std::stoi("none");
    } catch (const std::invalid_argument &error) {
        std::cout << "library threw " << error.what() << "\n";
    }
    try {
        std::ifstream missing;
        missing.exceptions(std::ios::failbit);
        missing.open("/nowhere/at/all");
    } catch (const std::ios_base::failure &error) {
        std::cout << "failure " << (error.code() == std::io_errc::stream) << "\n";
    }
    Both object;
    Base *base = &object;
    std::cout << dynamic_cast<Right *>(base)->right << dynamic_cast<Both *>(base)->both << (dynamic_cast<Stream *>(&counted) == nullptr)
              << (typeid(*base) == typeid(Both)) << typeid(int).name() << typeid(void *).name() << "\n";
    std::clog << "not compared\n";
    std::cout << "not flushed";
    return 0;
}
