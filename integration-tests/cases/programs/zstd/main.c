// zstd compresses and restores several kinds of data at several levels, in one go, in streams, with a dictionary.
//#Archive: libzstd.a @zstd-sys/zstd/lib/common/*.c @zstd-sys/zstd/lib/compress/*.c @zstd-sys/zstd/lib/decompress/*.c @zstd-sys/zstd/lib/dictBuilder/*.c
//#Include: @zstd-sys/zstd/lib
//#CompileFlags: -DZSTD_DISABLE_ASM=1 -DZSTD_MULTITHREAD=1
//#Flags: -O1
//#Pic: pic nopic
//#Only: clang pic | gcc nopic
//#Libs: -lpthread
//#Timeout: 120
#include "zdict.h"
#include "zstd.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
enum { SIZE = 1 << 20 };
static void fill(char *data, int kind) {
    unsigned state = 12345;
    for (int i = 0; i < SIZE; i++) {
        state = state * 1103515245 + 12345;
        if (kind == 0) data[i] = (char)(state >> 16);
        if (kind == 1) data[i] = "the quick brown fox "[(i + (state >> 28)) % 20];
        if (kind == 2) data[i] = 0;
    }
}
static size_t checked(size_t code) {
    if (!ZSTD_isError(code)) return code;
    printf("error: %s\n", ZSTD_getErrorName(code));
    exit(1);
}
int main(void) {
    char *data = malloc(SIZE), *back = malloc(SIZE), *packed = malloc(ZSTD_compressBound(SIZE));
    size_t bound = ZSTD_compressBound(SIZE);
    for (int kind = 0; kind < 3; kind++) {
        fill(data, kind);
        for (int level = 1; level <= 13; level += 4) {
            size_t size = checked(ZSTD_compress(packed, bound, data, SIZE, level));
            size_t restored = checked(ZSTD_decompress(back, SIZE, packed, size));
            printf("kind %d level %d: %zu, same %d\n", kind, level, size, restored == SIZE && !memcmp(data, back, SIZE));
        }
    }
    ZSTD_CCtx *context = ZSTD_createCCtx();
    checked(ZSTD_CCtx_setParameter(context, ZSTD_c_nbWorkers, 2));
    checked(ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 1));
    fill(data, 1);
    size_t size = checked(ZSTD_compress2(context, packed, bound, data, SIZE));
    ZSTD_freeCCtx(context);
    ZSTD_DStream *stream = ZSTD_createDStream();
    ZSTD_inBuffer in = {packed, size, 0};
    ZSTD_outBuffer out = {back, SIZE, 0};
    while (in.pos < in.size) {
        in.size = in.pos + 1000 < size ? in.pos + 1000 : size;
        checked(ZSTD_decompressStream(stream, &out, &in));
        if (in.pos == size) break;
        in.size = size;
    }
    ZSTD_freeDStream(stream);
    printf("stream by two workers: same %d\n", out.pos == SIZE && !memcmp(data, back, SIZE));
    static char samples[200 * 300], dictionary[4096];
    size_t sizes[200];
    for (int i = 0; i < 200; i++) sizes[i] = (size_t)snprintf(samples + i * 300, 300, "{\"id\": %d, \"name\": \"customer %d\", \"address\": \"%d Long Street, Some Town\", \"active\": %s, \"score\": %d}", i, i * 7, i * 3, i % 2 ? "true" : "false", i * i);
    size_t total = 0;
    for (int i = 0; i < 200; i++) memmove(samples + total, samples + i * 300, sizes[i]), total += sizes[i];
    size_t length = ZDICT_trainFromBuffer(dictionary, sizeof dictionary, samples, sizes, 200);
    printf("dictionary: %s\n", ZDICT_isError(length) ? ZDICT_getErrorName(length) : "trained");
    unsigned char broken[100] = {0x28, 0xb5, 0x2f, 0xfd, 1, 2, 3};
    printf("%s\n", ZSTD_getErrorName(ZSTD_decompress(back, SIZE, broken, sizeof broken)));
    return 0;
}
