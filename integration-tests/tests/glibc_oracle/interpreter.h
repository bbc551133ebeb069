/* Programs and what comes of them, as the Rust side (program.rs, event.rs) writes and reads them. */
#include "library.h"

enum { LIBRARIES = 12, CAPACITY = 4096 };

enum what {
    OPEN, OPEN_END, CLOSE, CLOSE_END, FIND, FIND_END,
    INIT, INIT_END, FINI, FINI_END, REGISTER, HANDLE, HANDLE_END, TOP
};

enum act_kind { DO_OPEN, DO_OPEN_GLOBAL, DO_OPEN_NOLOAD, DO_OPEN_NODELETE, DO_CLOSE, DO_FIND, DO_REGISTER };

struct event {
    unsigned char what, library;
    short value;
    unsigned loaded; /* bit n: library n is loaded */
};

struct record {
    unsigned count;
    struct event events[CAPACITY];
};

void oracle_play(const unsigned char *program, struct record *where, int follow_stale_handles);
