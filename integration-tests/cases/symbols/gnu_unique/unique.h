inline int *unique() {
    static int value = 5;
    return &value;
}
