extern __thread long shared;
static __thread long calls = 2;
long *no_plt(void) {
    if (++calls - 2 != shared) return 0;
    return &shared;
}
