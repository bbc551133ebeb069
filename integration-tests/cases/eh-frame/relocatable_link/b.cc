#include <string>
inline std::string shared(int n) { return std::string(n + 20, 'x'); }
int b(int n) {
    std::string keep = shared(n);
    if (n == 2) throw "from b";
    return (int)keep.size();
}
