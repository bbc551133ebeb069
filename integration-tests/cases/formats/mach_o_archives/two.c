int puts(const char *);
int two(int x) {
    puts("two");
    return x * 21;
}
