extern __thread long shared;
static __thread long calls = 3;
long *large(void) {
    if (++calls - 3 != shared) return 0;
    return &shared;
}
