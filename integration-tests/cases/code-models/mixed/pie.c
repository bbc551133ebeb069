extern int value;
int pie_own[20000] = {1};
int back_pie(int x) { return x + pie_own[0]; }
int (*pie_pointer)(int) = back_pie;
int pie(int x) { return pie_pointer(x) + value; }
