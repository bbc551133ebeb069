char shared[100];
__attribute__((aligned(64))) int plain;
