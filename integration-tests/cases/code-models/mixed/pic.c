extern int value;
int pic_own[20000] = {1};
int back_pic(int x) { return x + pic_own[0]; }
int (*pic_pointer)(int) = back_pic;
int pic(int x) { return pic_pointer(x) + value; }
