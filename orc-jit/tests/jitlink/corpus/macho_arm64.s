# Mach-O on arm64: branches, pages and offsets, slots, pointers.
#
# triple: arm64-apple-macosx11
# arguments: -slab-allocate 100Kb -slab-address 0x100000000 -slab-page-size 16384
# arguments: -abs _far=0x7fff00000000

        .section __TEXT,__text,regular,pure_instructions
        .globl _main
        .p2align 2
_main:
        ret

# jitlink-check: decode_operand(calls, 0)[25:0] = (_callee - calls)[27:2]
        .globl calls
        .p2align 2
calls:
        bl _callee

# jitlink-check: decode_operand(calls_far, 0)[25:0] = (stub_addr(case.o, _far) - calls_far)[27:2]
# jitlink-check: *{8}(got_addr(case.o, _far)) = _far
        .globl calls_far
        .p2align 2
calls_far:
        bl _far

# jitlink-check: decode_operand(page, 1) = (_data[32:12] - page[32:12])
# jitlink-check: decode_operand(page + 4, 2) = _data[11:0]
        .globl page
        .p2align 2
page:
        adrp x0, _data@PAGE
        add x0, x0, _data@PAGEOFF

        .globl _callee
        .p2align 2
_callee:
        ret

        .section __DATA,__data
# jitlink-check: *{8}_data = _callee
# jitlink-check: section_addr(case.o, __DATA,__data) = _data
        .globl _data
        .p2align 3
_data:
        .quad _callee

.subsections_via_symbols
