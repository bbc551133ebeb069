__attribute__((visibility("hidden"))) int hidden_in_b(void) { return 1; } int (*keep)(void) = hidden_in_b;
