struct entry {
    const char *name;
    int value;
};
#define ENTRY(n, v) \
    static const struct entry entry_##n = {#n, v}; \
    __attribute__((section("commands"), used)) static const struct entry *const pointer_##n = &entry_##n;
