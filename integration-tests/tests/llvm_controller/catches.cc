// Does an exception find its handler? The unused function makes LLVM 19 leave a hole in the unwind table.
#include <iostream>
#include <stdexcept>

int main() {
    try {
        throw std::runtime_error("thrown");
    } catch (const std::exception &error) {
        std::cout << "caught " << error.what() << std::endl;
    }
    return 5;
}
