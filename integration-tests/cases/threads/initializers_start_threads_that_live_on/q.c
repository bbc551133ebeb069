static int ready;
__attribute__((constructor)) static void init(void) { ready = 1; }
int one(void) { return ready; }
