// zlib: every level and strategy, checksums, gzip streams in memory and in a temporary file.
//#Archive: libz.a @libz-sys/src/zlib/*.c
//#Include: @libz-sys/src/zlib
//#Flags: -O1
//#Pic: pic nopic
//#CompileFlags: -D_LARGEFILE64_SOURCE=1 -DHAVE_UNISTD_H
#include "zlib.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
enum { SIZE = 300000 };
int main(void) {
    Bytef *data = malloc(SIZE), *back = malloc(SIZE), *packed = malloc(compressBound(SIZE));
    for (int i = 0; i < SIZE; i++) data[i] = (Bytef)("abracadabra"[i % 11] + (i / 1000) % 3);
    printf("%08lx %08lx\n", crc32(0, data, SIZE), adler32(1, data, SIZE));
    for (int level = 0; level <= 9; level++) {
        uLongf size = compressBound(SIZE), restored = SIZE;
        int code = compress2(packed, &size, data, SIZE, level);
        int undone = uncompress(back, &restored, packed, size);
        printf("level %d: %d %d %lu same %d\n", level, code, undone, size, restored == SIZE && !memcmp(data, back, SIZE));
    }
    for (int strategy = Z_FILTERED; strategy <= Z_FIXED; strategy++) {
        z_stream stream = {.next_in = data, .avail_in = SIZE, .next_out = packed, .avail_out = (uInt)compressBound(SIZE)};
        deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, strategy);
        int code = deflate(&stream, Z_FINISH);
        printf("strategy %d: %d %lu\n", strategy, code, stream.total_out);
        deflateEnd(&stream);
    }
    char name[] = "/tmp/zlib-case-XXXXXX";
    int file = mkstemp(name);
    gzFile out = gzdopen(file, "wb9");
    printf("%d\n", gzprintf(out, "line %d of %s\n", 1, "text"));
    gzwrite(out, data, 1000);
    gzclose(out);
    gzFile in = gzopen(name, "rb");
    char line[64];
    printf("%s", gzgets(in, line, sizeof line));
    printf("%d\n", gzread(in, back, SIZE) == 1000 && !memcmp(back, data, 1000));
    gzclose(in);
    unlink(name);
    packed[5] ^= 0x55;
    uLongf restored = SIZE;
    printf("%s\n", zError(uncompress(back, &restored, packed, 20)));
    return 0;
}
