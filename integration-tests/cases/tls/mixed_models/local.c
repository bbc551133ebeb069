extern __thread long shared;
static __thread long calls = 5;
long *local(void) {
    if (++calls - 5 != shared) return 0;
    return &shared;
}
