#include "registry.h"
#include "errors.h"
// Local, so that it exists before the first static of any unit asks for it.
std::map<std::string, Task> &registry() {
    static std::map<std::string, Task> tasks;
    return tasks;
}
