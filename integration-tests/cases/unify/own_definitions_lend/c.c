__attribute__((weak)) int in_all = 3;
__attribute__((weak)) int in_both = 13;
int c_all(void) { return in_all; }
int c_both(void) { return in_both; }
