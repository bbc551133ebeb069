// Code that needs a constant distance from the thread pointer, of more than there is room for.
//#Pic: nopic
//#ExpectError: thread-local variable big is out of reach
//#ExpectError: main.
//#ExpectError: local-exec model
//#ExpectError: compile with -fPIC
__thread char big[1 << 20];
int main(void) { return big[5]; }
