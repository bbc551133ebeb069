int nobody_has_this(void);
int unused(void) { return nobody_has_this(); }
