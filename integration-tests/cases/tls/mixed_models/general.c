extern __thread long shared;
static __thread long calls = 0;
long *general(void) {
    if (++calls - 0 != shared) return 0;
    return &shared;
}
