int function_of_p(int value) { return value * 3; }
