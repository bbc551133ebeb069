extern __thread long shared;
static __thread long calls = 1;
long *descriptor(void) {
    if (++calls - 1 != shared) return 0;
    return &shared;
}
