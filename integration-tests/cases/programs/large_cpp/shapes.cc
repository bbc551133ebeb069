#include "shapes.h"
namespace {
struct Circle final : Round {
    double size;
    explicit Circle(double r) : size(r) {}
    double radius() const override { return size; }
};
struct Square : Sided {
    double size;
    explicit Square(double s) : size(s) {}
    double area() const override { return size * size; }
};
struct Coin final : Round, Sided {
    double radius() const override { return 1; }
    double area() const override { return Round::area() + 0.25; }
    int sides() const override { return 2; }
};
}
std::vector<std::unique_ptr<Shape>> all_shapes() {
    std::vector<std::unique_ptr<Shape>> shapes;
    shapes.push_back(std::make_unique<Circle>(2));
    shapes.push_back(std::make_unique<Square>(3));
    shapes.push_back(std::make_unique<Coin>());
    return shapes;
}
