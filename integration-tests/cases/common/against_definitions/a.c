int defined_later = 11;
int defined_first_elsewhere = 12;
int two_commons[2];
int get(void) { return two_commons[0] + two_commons[1]; }
