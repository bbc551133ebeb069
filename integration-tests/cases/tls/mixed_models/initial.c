extern __thread long shared;
static __thread long calls = 4;
long *initial(void) {
    if (++calls - 4 != shared) return 0;
    return &shared;
}
