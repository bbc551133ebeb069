// No main: the error names the entry symbol.
//#ExpectError: main
//#Flags: -O1
int mian(void) { return 0; }
