int strong_later(void) { return 10; }
__attribute__((weak)) int strong_first(void) { return 20; }
__attribute__((weak)) int weak_only(void) { return 30; }
int weak_data = 40;
int a(void) { return strong_first() + weak_only(); }
