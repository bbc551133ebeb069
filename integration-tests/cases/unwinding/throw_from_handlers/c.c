int c_frame(int (*function)(int), int n) { return function(n) + 1; }
