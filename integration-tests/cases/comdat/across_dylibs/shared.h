inline int &slot() {
    static int value = 1;
    return value;
}
