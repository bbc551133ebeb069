__attribute__((section("mine"))) const int constant = 5; int c_data(void) { return constant; }
