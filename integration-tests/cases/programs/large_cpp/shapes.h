#pragma once
#include <memory>
#include <vector>
struct Shape {
    virtual ~Shape() = default;
    virtual double area() const = 0;
};
struct Round : virtual Shape {
    virtual double radius() const = 0;
    double area() const override { return 3 * radius() * radius(); }
};
struct Sided : virtual Shape {
    virtual int sides() const { return 4; }
};
std::vector<std::unique_ptr<Shape>> all_shapes();
