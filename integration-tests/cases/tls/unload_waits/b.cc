#include <cstdio>
static int count;
struct Note {
    const char *text;
    int number;
    explicit Note(const char *text) : text(text), number(++count > 1 ? 1 : count) { std::printf("+%s %d\n", text, number); }
    ~Note() { std::printf("-%s %d\n", text, number); }
};
extern "C" void use(const char *text) {
    thread_local Note note(text);
    (void)note.text;
}
