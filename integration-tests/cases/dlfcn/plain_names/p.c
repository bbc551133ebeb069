int function(int x) { return x + 1; }
