// What the cppcheck of W4 and W7 is given to check: a few findings, some templates, no headers.
template <typename T, unsigned N> struct Ring {
    T cells[N];
    unsigned head = 0;
    void push(const T &value) { cells[head++ % N] = value; }
    T last() const { return cells[(head - 1) % N]; }
};

class Account {
  public:
    Account(int start) { total = start; }
    int take(int amount) {
        int before;
        if (amount > total)
            return before;
        total -= amount;
        return total;
    }

  private:
    int total;
    int unused;
};

static int sum(const int *values, int count) {
    int result = 0;
    for (int i = 0; i <= count; i++)
        result += values[i];
    return result;
}

int main() {
    int values[4] = {1, 2, 3, 4};
    int *leak = new int[10];
    Ring<int, 8> ring;
    for (int i = 0; i < 20; ++i)
        ring.push(sum(values, 4) / (i - 3));
    Account account(ring.last());
    if (leak == nullptr && *leak == 4)
        return account.take(values[5]);
    return account.take(3);
}
