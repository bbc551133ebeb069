__thread char zeros[6500];
__thread int counter = 7;
int check(void) {
    for (unsigned i = 0; i < sizeof zeros; i++)
        if (zeros[i] != (counter == 8 ? 3 : 0)) return -1;
    for (unsigned i = 0; i < sizeof zeros; i++) zeros[i] = 3;
    return counter++;
}
