__attribute__((weak)) int strong_later(void) { return 100; }
__attribute__((weak)) int weak_only(void) { return 300; }
__attribute__((weak)) int weak_data = 400;
int b(void) { return strong_later() + weak_only() + weak_data; }
