/* The smallest program that shows that it ran: what is left is the price of starting at all. */
#include <stdio.h>

int main(int argc, char **argv)
{
    (void)argv;
    printf("hello from %d argument(s)\n", argc - 1);
    return 0;
}
