int table_of_p[16] = {1};
int function_of_p(int x) { return table_of_p[x] * 3; }
