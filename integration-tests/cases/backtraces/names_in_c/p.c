__attribute__((noinline, visibility("default"))) void inner_of_p(void (*tell)(void)) {
    tell();
    __asm__ volatile("" ::: "memory");
}
void middle_of_p(void (*tell)(void)) {
    inner_of_p(tell);
    __asm__ volatile("" ::: "memory");
}
