void cleanup(int *value);
void middle(void (*function)(void));
void through(void (*function)(void));
