// std::cout, std::cin and std::cerr reached by the direct addresses of the non-PIC model; a vtable and typeinfo of libstdc++, too.
//#Pic: nopic
//#Stdin: 12 30
//#NotOn: riscv64 its libraries have their symbol tables on pages of code, so that their data cannot move
#include <iostream>
#include <stdexcept>
struct Mine : std::runtime_error {
    using std::runtime_error::runtime_error;
};
int main() {
    int a, b;
    std::cin >> a >> b;
    std::cout << a + b << std::endl;
    try {
        throw Mine("mine");
    } catch (const std::runtime_error &error) {
        std::cout << error.what() << '\n';
    }
    std::ostream *pointer = &std::cout;
    *pointer << (pointer == &std::cout) << '\n';
    return 0;
}
