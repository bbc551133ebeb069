#include "open.h"
extern "C" int attempts;
extern "C" void *poisoned;
extern "C" __attribute__((constructor)) void start_of_p() {
    if (attempts++ == 0) {
        poisoned = open_or_tell("P");
        puts("P throws");
        throw 6;
    }
    puts("P completes");
}
__attribute__((destructor)) static void fini() { puts("fini P"); }
