namespace shop {
struct Basket {
    int add(int, const char *);
    ~Basket();
};
}
