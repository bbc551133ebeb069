#define V(k) __attribute__((visibility(k)))
V("hidden") int hidden_data = 9;
V("hidden") int hidden_function(int x) { return x + 100; }
V("protected") int protected_function(int x) { return x + 200; }
V("internal") int internal_function(int x) { return x + 300; }
