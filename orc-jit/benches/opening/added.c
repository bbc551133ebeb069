static int runs;
__attribute__((constructor)) static void added(void) { runs++; }
