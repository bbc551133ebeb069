#include <wchar.h>
const char *b_unused = "unused by b, to shift the others";
const char *b_text(void) { return "the same text in both objects"; }
const char *b_tail(void) { return "prefix of b: the same text in both objects" + 13; }
const wchar_t *b_wide(void) { return L"wide text"; }
