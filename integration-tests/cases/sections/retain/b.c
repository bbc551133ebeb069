__attribute__((section("kept"), used)) static const int three = 300;
int unused_function(int x) { return x; }
