#include <stdexcept>
#include <string>
#include <vector>
template <class T> struct Box {
    std::vector<T> values;
    void add(T value) {
        if (values.size() == 3) throw std::length_error("full: " + std::to_string(value));
        values.push_back(value);
    }
    ~Box() {}
};
inline int fill(int n) {
    Box<int> box;
    try {
        for (int i = 0; i < n; i++) box.add(i);
    } catch (const std::length_error &error) {
        return (int)std::string(error.what()).size();
    }
    return -1;
}
