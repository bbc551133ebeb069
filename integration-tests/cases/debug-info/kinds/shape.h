struct Shape {
    int width, height;
    int area() const { return width * height; }
    template <class T> T scaled(T by) const { return T(area()) * by; }
};
