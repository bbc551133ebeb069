#include <wchar.h>
const char *a_unused = "unused by a, to shift the others";
const char *a_text(void) { return "the same text in both objects"; }
const char *a_tail(void) { return "prefix of a: the same text in both objects" + 13; }
const wchar_t *a_wide(void) { return L"wide text"; }
