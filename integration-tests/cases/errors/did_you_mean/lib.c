int compute_total(int x) { return x; } int compute_average(int x) { return x; }
