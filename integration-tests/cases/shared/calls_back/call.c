int call_each(int (*f)(int, void *), void *data, int count) {
    int last = 0;
    for (int i = 0; i < count; i++) last = f(i, data);
    return last;
}
