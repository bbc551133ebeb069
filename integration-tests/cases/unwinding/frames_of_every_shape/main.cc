// Exceptions and backtraces through frames of every shape: without a frame pointer, with a dynamic stack (alloca, arrays of variable length), realigned, huge, with
// red zone, with a frame described by expressions, one whose rules are remembered and restored, and one that saves its caller's registers in others.
//#Flags: -O0 | -O1 -fomit-frame-pointer | -O2 -fomit-frame-pointer | -Os -fno-omit-frame-pointer
//#Pic: pic nopic
#include <alloca.h>
#include <cstdio>
#include <cstring>
#include <unwind.h>
#define APART __attribute__((noinline))
extern "C" int by_expression(int (*)(int), int);
extern "C" int remembers(int (*)(int), int);
extern "C" int in_registers(int (*)(int), int);
struct Note {
    const char *text;
    long seal;
    explicit Note(const char *text) : text(text), seal(reinterpret_cast<long>(text) ^ 0x5a5a) {}
    ~Note() { std::printf(" %s%s", text, seal == (reinterpret_cast<long>(text) ^ 0x5a5a) ? "" : "(damaged)"); }
};
static bool by_walk;
static int frames;
static _Unwind_Reason_Code each(struct _Unwind_Context *, void *) { return ++frames == 500 ? _URC_NORMAL_STOP : _URC_NO_REASON; }
static APART int bottom(int n) {
    if (by_walk) {
        frames = 0;
        std::printf("%s", _Unwind_Backtrace(each, nullptr) == _URC_END_OF_STACK && frames < 500 ? "to the end" : "lost");
        return n;
    }
    throw n;
}
static APART int dynamic(int n) {
    Note note("dynamic");
    char *room = static_cast<char *>(alloca(n * 1000 + 1));
    std::memset(room, 1, n * 1000 + 1);
    return bottom(n) + room[n];
}
static APART int variable_length(int n) {
    Note note("variable_length");
    volatile char room[n * 100 + 1];
    room[n] = 1;
    return bottom(n) + room[n];
}
static APART int aligned(int n) {
    Note note("aligned");
    alignas(256) volatile char room[300];
    room[n] = reinterpret_cast<unsigned long>(room) % 256 == 0;
    return bottom(n) + room[n];
}
static APART int huge(int n) {
    Note note("huge");
    volatile char room[1 << 20];
    room[n] = 1;
    return bottom(n) + room[n];
}
static APART int expression(int n) { Note note("expression"); return by_expression(bottom, n) + 1; }
static APART int remembered(int n) { Note note("remembers"); return remembers(bottom, n) + 1; }
static APART int registers(int n) { Note note("in_registers"); return in_registers(bottom, n) + 1; }
static APART int all(int n) {
    Note note("all");
    static int (*const rest[])(int) = {dynamic, huge, aligned, expression, remembered, registers, variable_length};
    static unsigned depth;
    struct Level { Level() { depth++; } ~Level() { depth--; } };
    unsigned at = depth;
    Level level;
    return (at < 4 ? all(n) : rest[at - 4](n)) + 1;
}
int main() {
    int (*const functions[])(int) = {dynamic, variable_length, aligned, huge, expression, remembered, registers, all};
    for (int round = 0; round < 2; round++) {
        by_walk = round;
        for (auto *function : functions) {
            try {
                int result = function(3);
                std::printf(" gives %s\n", result >= 3 ? "something" : "nothing");
            } catch (int n) {
                std::printf(" caught %d\n", n);
            }
        }
    }
    return 0;
}
