__attribute__((visibility("protected"))) int own_counter = 3;
int own_count(void) { return ++own_counter; }
