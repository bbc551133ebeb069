/* Data of every kind that refers to other data, and thread-local variables. */
extern int choose(int), call(int, int);
int shared = 3, array[10] = { 1, 2, 3 };
static int zeros[1000];
int common_one;
struct node { struct node *next; const char *name; int (*function)(int); };
static struct node second;
struct node first = { &second, "first", choose };
static struct node second = { &first, "second", 0 };
const struct node constant = { &first, "constant", choose };
int *const middle = &array[5], *const inside = &zeros[77];
__thread int per_thread = 11;
__thread long long per_thread_zero;
static __thread char own[40] = "own";
static __thread long long own_zero;
int threads(int x) { own[x] = 1; per_thread += own_zero++; return per_thread_zero += x, own[x + 1] + per_thread; }
long long *address_of_thread_local(void) { return &own_zero; }
int uses(int x) { zeros[x] += common_one; return zeros[x] + array[x] + shared + *middle + *inside + call(x, 1); }
short small = 0x1234; char byte = 7; double real = 2.5;
double reals(void) { return real * small + byte; }
