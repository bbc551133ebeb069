#include "open.h"
static void clean(void **unused) { (void)unused, puts("cleanup in main"); }
void *open_with_cleanup(const char *name) {
    __attribute__((cleanup(clean))) void *handle = 0;
    handle = open_or_tell(name);
    return handle;
}
