/* What a library of the oracle shows of itself to the interpreter. */

/* When a library calls the interpreter. */
enum phase { INITIALIZER, FINALIZER, HANDLER };

struct library {
    int number; /* from 1 */
    /* Registers an exit handler from this library's own code; it calls the interpreter with `argument`. */
    void (*at_exit)(long argument);
    /* In the library's .data: pristine memory holds PRISTINE. */
    int *data;
};

enum { PRISTINE = 41 };

/* Plays the script of this library for this phase. */
void oracle_step(const struct library *self, enum phase phase, long argument);
