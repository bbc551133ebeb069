#define HIDDEN __attribute__((visibility("hidden")))
extern HIDDEN __thread int hidden;
extern __attribute__((visibility("protected"))) __thread int protected_one;
HIDDEN __thread int theirs = 1000;
HIDDEN __thread short theirs_zero;
int *hidden_there(void) { return &hidden; }
int *theirs_there(void) { return &theirs; }
int *protected_there(void) { return &protected_one; }
