int puts(const char *);
int two(int);
int one(void) {
    puts("one");
    return two(2);
}
