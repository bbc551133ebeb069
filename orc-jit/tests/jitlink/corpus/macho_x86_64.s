# Mach-O: branches, displacements, slots, pointers, names as the object spells them.
#
# triple: x86_64-apple-macosx10.9
# arguments: -slab-allocate 100Kb -slab-address 0xfff00000 -slab-page-size 4096
# arguments: -abs _far=0x7fff00000000

        .section __TEXT,__text,regular,pure_instructions
        .globl _main
_main:
        retq

# jitlink-check: decode_operand(calls, 0) = _callee - next_pc(calls)
        .globl calls
calls:
        callq _callee

# jitlink-check: decode_operand(calls_far, 0) = stub_addr(case.o, _far) - next_pc(calls_far)
# jitlink-check: *{8}(got_addr(case.o, _far)) = _far
        .globl calls_far
calls_far:
        callq _far

# jitlink-check: decode_operand(loads, 4) = _data - next_pc(loads)
        .globl loads
loads:
        movl _data(%rip), %eax

# jitlink-check: decode_operand(loads_far, 4) = got_addr(case.o, _far) - next_pc(loads_far)
        .globl loads_far
loads_far:
        movq _far@GOTPCREL(%rip), %rax

        .globl _callee
_callee:
        retq

        .section __DATA,__data
# jitlink-check: *{8}_data = _callee
# jitlink-check: section_addr(case.o, __DATA,__data) = _data
        .globl _data
        .p2align 3
_data:
        .quad _callee

.subsections_via_symbols
