extern int absent(void) __attribute__((weak));
extern int puts(const char *);
int function(void) { return 1; }
int alias(void) __attribute__((alias("function")));
int data = 2;
_Thread_local int each_thread = 3;
__attribute__((weak)) int weak_one(void) { return 4; }
__attribute__((visibility("hidden"))) int hidden(void) { return 5; }
static int fixed(void) { return 6; }
int (*const keep[])(void) = {hidden, fixed};
int is_null(void) { return absent == 0; }
int of_this_thread(void) { return each_thread; }
