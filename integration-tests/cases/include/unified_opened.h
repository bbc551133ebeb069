/* How a program compares P and Q, two dylibs of unified_dylib.h that it has opened. Behind open.h. */
#include "unified.h"
typedef Places (*GetPlaces)();
typedef int (*Sides)(Shape *);
typedef Shape *(*Make)();
typedef void (*Throw)(int);
typedef int (*Catch)(void (*)(int));
template <class F> static inline F get(void *handle, const char *name) { return (F)__orc_rt_jit_dlsym(handle, name); }
static inline void compare(void *p, void *q) {
    printf("same: %d\n", same(get<GetPlaces>(p, "places_of_p")(), get<GetPlaces>(q, "places_of_q")()));
    printf("casts: %d %d\n", get<Sides>(p, "sides_p")(get<Make>(q, "make_q")()), get<Sides>(q, "sides_q")(get<Make>(p, "make_p")()));
    printf("catches: %d %d\n", get<Catch>(p, "catch_p")(get<Throw>(q, "throw_q")), get<Catch>(q, "catch_q")(get<Throw>(p, "throw_p")));
}
