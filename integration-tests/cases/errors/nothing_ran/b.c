int not_anywhere(void);
int b(void) { return not_anywhere(); }
