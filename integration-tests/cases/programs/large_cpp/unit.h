// One of many units that differ by UNIT: each instantiates the same templates and some of its own, registers two tasks, throws two types.
#include "errors.h"
#include "registry.h"
#include <algorithm>
#include <map>
#include <memory>
#include <numeric>
#include <string>
#include <vector>
namespace {
struct Resource {
    static int alive;
    int id;
    explicit Resource(int i) : id(i) { alive++; }
    ~Resource() { alive--; }
};
int Resource::alive = 0;
}
template <class T> __attribute__((noinline)) T shared_work(std::vector<T> values) {
    std::sort(values.begin(), values.end(), [](const T &a, const T &b) { return b < a; });
    return std::accumulate(values.begin(), values.end(), T{});
}
template <int N> __attribute__((noinline)) int throwing_work(int depth) {
    Resource held(depth);
    std::string text(static_cast<std::size_t>(20 + depth), 'x');
    if (depth == 0) throw Numbered<N>();
    return throwing_work<N>(depth - 1) + static_cast<int>(text.size());
}
inline int &shared_counter() {
    static int counter = 0;
    return counter;
}
#define JOIN_(a, b) a #b
#define JOIN(a, b) JOIN_(a, b)
static int computes() {
    std::map<int, std::string> table;
    for (int i = 0; i < UNIT + 3; i++) table[i * 37 % 11] += std::to_string(i);
    auto owner = std::make_shared<Resource>(UNIT);
    std::vector<long> lengths;
    for (const auto &entry : table) lengths.push_back(static_cast<long>(entry.second.size()) + entry.first);
    return static_cast<int>(shared_work(lengths)) + static_cast<int>(shared_work<std::string>({"b", "a", JOIN("u", UNIT)}).size()) + ++shared_counter() * 1000 + Resource::alive;
}
static int throws() {
    try {
        return throwing_work<UNIT>(UNIT % 5 + 2);
    } catch (const Numbered<UNIT + 1000> &) {
        return -1;
    } catch (const Error &error) {
        if (Resource::alive != 0) return -2;
        if (error.weight() % 3 == 0) throw std::out_of_range("multiple of three");
        throw;
    }
}
static Register first(JOIN("compute ", UNIT), computes), second(JOIN("throw ", UNIT), throws);
