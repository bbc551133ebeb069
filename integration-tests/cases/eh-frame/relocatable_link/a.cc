#include <string>
inline std::string shared(int n) { return std::string(n + 20, 'x'); }
int a(int n) {
    std::string keep = shared(n);
    if (n == 1) throw (int)keep.size();
    return (int)keep.size();
}
