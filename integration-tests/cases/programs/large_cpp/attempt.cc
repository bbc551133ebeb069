#include "errors.h"
#include "registry.h"
#include <typeinfo>
Result attempt(const Task &task) {
    try {
        return {true, task(), ""};
    } catch (const Error &error) {
        return {error.weight() % 2 == 0, error.weight(), std::string(typeid(error).name()) + ": " + error.what()};
    } catch (const std::exception &error) {
        return {false, 0, error.what()};
    } catch (...) {
        return {false, -1, "something else"};
    }
}
