#pragma once
#include <functional>
#include <map>
#include <string>
using Task = std::function<int()>;
std::map<std::string, Task> &registry();
struct Register {
    Register(const char *name, Task task) { registry().emplace(name, std::move(task)); }
};
struct Result {
    bool good;
    int value;
    std::string text;
};
// Runs a task and turns whatever it throws into a result.
Result attempt(const Task &task);
