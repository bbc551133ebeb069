// A C++ program of more than thirty units: streams, regular expressions, threads, exceptions across units and through qsort, RTTI,
// templates that every unit instantiates, statics that register themselves.
//#Pic: pic nopic
//#Only: gcc pic | clang nopic
//#Flags: -O1
//#Libs: -lpthread
//#Stdin: 1 + 2 * (3 - 4)
//#Stdin: 2 ^ 10 / 0
//#Stdin: (7 + 1
//#Stdin: 8 % 3 $ 1
//#Exit: 30
#include "errors.h"
#include "matrix.h"
#include "parser.h"
#include "registry.h"
#include "report.h"
#include "shapes.h"
#include "sorter.h"
#include "text.h"
#include "workers.h"
#include <iostream>

static void expressions() {
    for (std::string line; std::getline(std::cin, line);) {
        try {
            std::cout << line << " = " << evaluate(line) << '\n';
        } catch (const SyntaxError &error) {
            std::cout << line << ": " << error.what() << " at " << error.position << '\n';
        } catch (const std::exception &error) {
            std::cout << line << ": " << error.what() << '\n';
        }
    }
}

static void shapes() {
    double total = 0;
    for (const auto &shape : all_shapes()) {
        total += shape->area();
        if (auto *round = dynamic_cast<const Round *>(shape.get())) std::cout << "round " << round->radius() << '\n';
        try {
            std::cout << dynamic_cast<const Sided &>(*shape).sides() << " sides\n";
        } catch (const std::bad_cast &) {
            std::cout << "no sides\n";
        }
    }
    std::cout << "total " << total << '\n';
}

int main() {
    expressions();
    shapes();
    std::cout << words_of("Exceptions cross  units, and the C library's frames; too.") << '\n';
    std::cout << dates_in("from 2024-02-29 to 2025-13-01 and 1999-12-31") << '\n';
    std::cout << determinant(Matrix<int, 3>{{{{2, 0, 1}, {1, 3, 2}, {1, 1, 1}}}}) << ' ' << determinant(Matrix<double, 2>{{{{1.5, 2}, {0.5, 4}}}}) << '\n';
    sort_and_tell({5, 3, 9, 1});
    sort_and_tell({5, -1, 9, 1});
    std::cout << sum_of_squares_by(4, 1000) << '\n';
    int passed = 0;
    for (const auto &[name, task] : registry()) {
        Result result = attempt(task);
        report(name, result);
        passed += result.good;
    }
    summary(passed, registry().size());
    return passed;
}
