typedef int (*function)(int);
int chosen(int);
function a_pointer = chosen;
const function a_const_pointer = chosen;
function a_address(void) { return chosen; }
int a_call(int x) { return chosen(x); }
