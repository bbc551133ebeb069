// R_X86_64_PC8, PC16, PC32, PC64, PLT32: to symbols of the object, of other objects, and to functions of the host.
#include <stdint.h>
#include <stdio.h>
extern const int8_t near_byte[1];
extern const int16_t near_word[1];
extern const int32_t far_long[3];
extern const int64_t far_quad[3];
extern const char here_byte[], here_word[], landing[];
extern int target[4] __attribute__((visibility("hidden")));
int call_plt(void) __attribute__((visibility("hidden")));
int jump_plt(void), call_pc32(void), conditional(int), host_length(const char *);
int main(void) {
    printf("%d %d\n", (const char *)near_byte + *near_byte == landing, (const char *)near_word + *near_word == landing);
    printf("%d %d\n", (const char *)&far_long[0] + far_long[0] == (const char *)target, (const char *)&far_long[1] + far_long[1] == (const char *)&target[2]);
    printf("%d %d\n", (const char *)&far_quad[0] + far_quad[0] == (const char *)target, (const char *)&far_quad[1] + far_quad[1] == (const char *)call_plt);
    printf("%d %d %d %d %d %d\n", call_plt(), jump_plt(), call_pc32(), conditional(0), conditional(1), host_length("seven.."));
    return 0;
}
