void *state;
