extern void *__dso_handle __attribute__((visibility("hidden"))); const void *b_handle(void) { return &__dso_handle; }
