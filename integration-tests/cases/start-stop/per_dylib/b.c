extern const int __start_numbers[] __attribute__((visibility("hidden"))), __stop_numbers[] __attribute__((visibility("hidden")));
__attribute__((section("numbers"), used)) static const int mine[] = {100, 200};
int b_sum(void) {
    int sum = 0;
    for (const int *p = __start_numbers; p < __stop_numbers; p++) sum += *p;
    return sum;
}
