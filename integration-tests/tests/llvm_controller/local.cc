// Do destructors of thread-local objects run while their code is there, in the thread that the program was called on?
#include <cstdio>

struct Local {
    int value = 7;
    ~Local() { std::printf("end of %d\n", value); }
};
thread_local Local local;

int main() {
    local.value = 8;
    std::puts("main");
    return 0;
}
