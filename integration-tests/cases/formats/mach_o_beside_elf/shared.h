struct Problem {
    int number;
    virtual ~Problem() {}
    Problem(int n) : number(n) {}
    Problem(const Problem &other) : number(other.number) {}
};
inline int &counter() {
    static int count = 1;
    return count;
}
extern int shared_variable;
int call_back(int);
int of_mach(int);
