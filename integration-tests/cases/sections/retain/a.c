#define KEEP __attribute__((section("kept"), used, retain))
KEEP static const int one = 1;
KEEP static const int two = 20;
