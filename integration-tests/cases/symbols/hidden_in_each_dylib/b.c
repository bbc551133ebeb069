__attribute__((visibility("hidden"))) int own(void) { return 2; } int b_own(void) { return own(); }
