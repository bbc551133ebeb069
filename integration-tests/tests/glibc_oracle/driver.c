/* glibc's side: reads programs on standard input, plays each in a fork, writes what happened and how the fork ended. */
#include "interpreter.h"
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* A fork that takes longer hangs. */
enum { SECONDS = 20 };

static void whole(ssize_t (*transfer)(int, void *, size_t), int file, void *bytes, size_t size) {
    for (char *at = bytes; size > 0;) {
        ssize_t done = transfer(file, at, size);
        if (done <= 0) exit(done < 0);
        at += done, size -= done;
    }
}

static ssize_t put(int file, void *bytes, size_t size) { return write(file, bytes, size); }

int main(void) {
    struct record *record = mmap(NULL, sizeof *record, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (record == MAP_FAILED) return 1;
    /* A crash is an outcome, and leaves no file behind. */
    setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 0 });
    for (;;) {
        uint32_t size;
        whole(read, STDIN_FILENO, &size, sizeof size);
        unsigned char *program = malloc(size);
        if (!program) return 1;
        whole(read, STDIN_FILENO, program, size);
        record->count = 0;
        pid_t child = fork();
        if (child < 0) return 1;
        if (child == 0) {
            alarm(SECONDS);
            oracle_play(program, record, 0);
            _exit(0);
        }
        int32_t status;
        if (waitpid(child, &status, 0) != child) return 1;
        uint32_t count = record->count;
        whole(put, STDOUT_FILENO, &status, sizeof status);
        whole(put, STDOUT_FILENO, &count, sizeof count);
        whole(put, STDOUT_FILENO, record->events, count * sizeof *record->events);
        free(program);
    }
}
