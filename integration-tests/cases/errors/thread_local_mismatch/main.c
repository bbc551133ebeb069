// One object says that a variable is thread-local, another that it is not.
//#Pic: pic
//#ExpectError: counter is thread-local where it is defined, ordinary where it is used
//#ExpectError: main.o
//#ExpectError: declare it the same way everywhere
extern int counter;
int main(void) { return counter++; }
