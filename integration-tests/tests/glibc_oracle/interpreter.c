/* Plays programs and notes what happens. The same object is part of the driver for glibc, and a JITDylib for us. */
#include "interpreter.h"
#include <dlfcn.h>
#include <string.h>

/* No program does more, however its scripts call each other. */
enum { BUDGET = 400, HANDLERS = 3 };

struct script { const unsigned char *acts; unsigned count; };

static struct script scripts[LIBRARIES + 1][3];
static struct record *record;
static int may_follow_stale_handles;
static int budget;

static struct known {
    void *handle;     /* the latest */
    int is_stale;     /* its library has been unloaded since */
    int opens;        /* that succeeded or are in progress, less closes */
    int opening;      /* in progress */
    const int *data;  /* where its latest copy has, or had, its data */
} known[LIBRARIES + 1];

static char *name(int library) {
    static char names[LIBRARIES + 1][8];
    char *text = names[library], *at = text;
    *at++ = '.', *at++ = '/', *at++ = 'o';
    if (library >= 10) *at++ = '0' + library / 10;
    *at++ = '0' + library % 10;
    *at = 0;
    return text;
}

/* A bit for each library whose data the loader still knows. */
static unsigned loaded(void) {
    unsigned bits = 0;
    for (int each = 1; each <= LIBRARIES; each++) {
        Dl_info info;
        if (known[each].data && dladdr(known[each].data, &info) && info.dli_fname && !strcmp(info.dli_fname, name(each)))
            bits |= 1u << each;
    }
    return bits;
}

static void note(enum what what, int library, int value) {
    if (record->count < CAPACITY) {
        record->events[record->count] = (struct event){ what, library, value, loaded() };
        record->count++;
    }
}

static void open(int library, int mode) {
    struct known *it = &known[library];
    note(OPEN, library, mode);
    it->opens++, it->opening++;
    void *handle = dlopen(name(library), RTLD_NOW | mode);
    it->opening--;
    if (handle) {
        it->handle = handle;
        it->is_stale = 0;
    } else if (it->opens > 0) {
        it->opens--;
    }
    note(OPEN_END, library, handle != NULL);
}

static int close(int library) {
    struct known *it = &known[library];
    if (!it->handle) return -1;
    note(CLOSE, library, it->is_stale);
    int counts = !it->is_stale && it->opens > 0;
    it->opens -= counts;
    /* glibc follows what it is given. */
    int result = it->is_stale && !may_follow_stale_handles ? -1 : dlclose(it->handle);
    if (result) it->opens += counts;
    note(CLOSE_END, library, !result);
    return result;
}

static void find(int library, int which) {
    static char symbol[] = "group_0";
    struct known *it = &known[library];
    if (!it->handle || it->is_stale || it->opens <= it->opening) return;
    symbol[6] = '0' + which;
    note(FIND, library, which);
    const int *found = dlsym(it->handle, symbol);
    note(FIND_END, library, found ? *found : 0);
}

static void play(struct script script, const struct library *self, long argument) {
    for (unsigned at = 0; at < script.count && budget > 0; at++) {
        const unsigned char *act = script.acts + 3 * at;
        budget--;
        switch (act[0]) {
        case DO_OPEN: open(act[1], 0); break;
        case DO_OPEN_GLOBAL: open(act[1], RTLD_GLOBAL); break;
        case DO_OPEN_NOLOAD: open(act[1], RTLD_NOLOAD); break;
        case DO_OPEN_NODELETE: open(act[1], RTLD_NODELETE); break;
        case DO_CLOSE: close(act[1]); break;
        case DO_FIND: find(act[1], act[2]); break;
        case DO_REGISTER:
            /* Handlers that register handlers do not do so for ever. */
            if (self && argument + 1 < HANDLERS) {
                note(REGISTER, self->number, argument + 1);
                self->at_exit(argument + 1);
            }
            break;
        }
    }
}

void oracle_step(const struct library *self, enum phase phase, long argument) {
    int number = self->number;
    static const enum what begin[] = { INIT, FINI, HANDLE }, end[] = { INIT_END, FINI_END, HANDLE_END };
    if (phase == INITIALIZER) {
        known[number].data = self->data;
        argument = *self->data;
        *self->data = PRISTINE + 1;
    }
    note(begin[phase], number, argument);
    play(scripts[number][phase], self, phase == HANDLER ? argument : -1);
    if (phase == FINALIZER) known[number].is_stale = 1;
    note(end[phase], number, argument);
}

static const unsigned char *read(struct script *script, const unsigned char *at) {
    script->count = *at++;
    script->acts = at;
    return at + 3 * script->count;
}

/* `program`: for each library three scripts, then one for main; a script is a count and that many acts of three bytes. */
void oracle_play(const unsigned char *program, struct record *where, int follow_stale_handles) {
    struct script main;
    for (int library = 1; library <= LIBRARIES; library++)
        for (int phase = 0; phase < 3; phase++)
            program = read(&scripts[library][phase], program);
    read(&main, program);
    record = where;
    may_follow_stale_handles = follow_stale_handles;
    budget = BUDGET;
    for (unsigned at = 0; at < main.count; at++) {
        play((struct script){ main.acts + 3 * at, 1 }, NULL, 0);
        note(TOP, 0, at);
    }
    /* Whatever is open is closed, and then everything has to be gone. */
    for (int library = 1; library <= LIBRARIES; library++) {
        for (int tries = known[library].opens; tries > 0 && !close(library); tries--) {}
        note(TOP, 0, main.count + library);
    }
}
