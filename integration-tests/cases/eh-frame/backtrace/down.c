__attribute__((noinline)) int down(int depth, int (*f)(void)) { volatile int keep = depth; int found = depth ? down(depth - 1, f) : f(); return found + keep - depth; }
