#ifdef ARCHIVE
const char *both(void) { return "the archive"; }
#else
const char *both(void) { return "the shared library"; }
#endif
