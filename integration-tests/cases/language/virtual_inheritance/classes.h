struct Root {
    int base = 1;
    virtual ~Root() {}
    virtual int value() { return base; }
    virtual Root *clone() const { return new Root(*this); }
};
struct Left : virtual Root {
    int left = 2;
    int value() override { return left + base; }
    Left *clone() const override { return new Left(*this); }
};
struct Right : virtual Root {
    virtual int right() { return 3; }
};
struct Both : Left, Right {
    int value() override;
    int right() override { return value() * 2; }
    Both *clone() const override { return new Both(*this); }
};
