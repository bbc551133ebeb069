const int table[3] = {1, 4, 9};
