# COFF: branches, displacements, pointers.
#
# triple: x86_64-pc-windows-msvc
# arguments: -slab-allocate 100Kb -slab-address 0xfff00000 -slab-page-size 4096
# arguments: -abs near=0xffe00000

        .text
        .globl main
        .def main
        .scl 2
        .type 32
        .endef
main:
        retq

# jitlink-check: decode_operand(calls, 0) = callee - next_pc(calls)
        .globl calls
calls:
        callq callee

# jitlink-check: decode_operand(calls_near, 0) = near - next_pc(calls_near)
        .globl calls_near
calls_near:
        callq near

# jitlink-check: decode_operand(loads, 4) = data - next_pc(loads)
        .globl loads
loads:
        leaq data(%rip), %rax

        .globl callee
callee:
        retq

        .data
# jitlink-check: *{8}data = callee
        .globl data
        .p2align 3
data:
        .quad callee
