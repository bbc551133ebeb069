__thread long other = 1000;
__thread long other_zero;
extern __thread int shared;
static __thread int calls;
long *address_of_other(void) { return &other; }
int *address_of_shared(void) { return &shared; }
int bump(void) { return ++calls * 10; }
