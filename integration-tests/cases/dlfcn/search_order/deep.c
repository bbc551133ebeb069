const char *in_all(void) { return "DEEP"; }
const char *in_right_and_deep(void) { return "DEEP"; }
const char *in_deep(void) { return "DEEP"; }
