int after(int x) { if (x) throw 5L; return x; }
