extern int count;
int back(int);

int there(int x) {
    count += 1;
    return back(x) + 10;
}
