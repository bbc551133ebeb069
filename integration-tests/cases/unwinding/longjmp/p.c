void deep(int depth, void (*function)(void)) {
    volatile int kept = depth;
    if (depth == 0) function();
    else deep(depth - 1, function);
    kept = kept + 1;
}
