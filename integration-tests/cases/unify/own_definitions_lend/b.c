__attribute__((weak)) int in_all = 2;
__attribute__((weak)) int in_both = 12;
int b_all(void) { return in_all; }
int b_both(void) { return in_both; }
