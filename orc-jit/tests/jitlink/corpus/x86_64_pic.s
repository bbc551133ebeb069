# Position-independent code: calls, loads from slots, stubs, pointers, sections.
#
# triple: x86_64-unknown-linux
# assembler: -position-independent
# arguments: -slab-allocate 100Kb -slab-address 0xfff00000 -slab-page-size 4096
# arguments: -abs near=0xffe00000 -abs far=0x7fff00000000

        .text
        .globl main
        .type main, @function
main:
        xorl %eax, %eax
        retq
        .size main, .-main

# A call in the same file.
# jitlink-check: decode_operand(calls_local, 0) = callee - next_pc(calls_local)
# jitlink-check: next_pc(calls_local) = calls_local + 5
        .globl calls_local
calls_local:
        callq callee@plt
        .size calls_local, .-calls_local

# What is in reach is called directly, what is not through a stub whose slot has the address.
# jitlink-check: decode_operand(calls_near, 0) = near - next_pc(calls_near)
        .globl calls_near
calls_near:
        callq near@plt
        .size calls_near, .-calls_near

# jitlink-check: decode_operand(calls_far, 0) = stub_addr(case.o, far) - next_pc(calls_far)
# jitlink-check: *{8}(got_addr(case.o, far)) = far
# jitlink-check: *{2}(stub_addr(case.o, far)) = 0x25ff
        .globl calls_far
calls_far:
        callq far@plt
        .size calls_far, .-calls_far

# Loads become `lea` where the target is in reach.
# jitlink-check: decode_operand(loads_own, 4) = data - next_pc(loads_own)
# jitlink-check: *{1}loads_own + 1 = 0x8d
        .globl loads_own
loads_own:
        movq data@GOTPCREL(%rip), %rax
        .size loads_own, .-loads_own

# jitlink-check: decode_operand(loads_far, 4) = got_addr(case.o, far) - next_pc(loads_far)
# jitlink-check: *{1}loads_far + 1 = 0x8b
        .globl loads_far
loads_far:
        movq far@GOTPCREL(%rip), %rax
        .size loads_far, .-loads_far

# jitlink-check: decode_operand(jumps_far, 3) = got_addr(case.o, far) - next_pc(jumps_far)
        .globl jumps_far
jumps_far:
        jmp *far@GOTPCREL(%rip)
        .size jumps_far, .-jumps_far

# Operands in other places.
# jitlink-check: decode_operand(stores, 3) = data - next_pc(stores)
# jitlink-check: decode_operand(compares, 3) = data - next_pc(compares)
# jitlink-check: decode_operand(compares, 5) = 17
# jitlink-check: decode_operand(compares + 7, 5) = data - compares - 5
        .globl stores
stores:
        movl %eax, data(%rip)
        .size stores, .-stores
        .globl compares
compares:
        cmpl $17, data(%rip)
        addl data+8(%rip), %eax
        .size compares, .-compares

# jitlink-check: decode_operand(holds_all, 1) = callee
        .globl holds_all
holds_all:
        movabsq $callee, %rax
        .size holds_all, .-holds_all

        .globl callee
        .type callee, @function
callee:
        retq
        .size callee, .-callee

        .data
# jitlink-check: *{8}data = callee
# jitlink-check: *{8}data + 8 = callee + 16
# jitlink-check: (*{4}data + 16) = (callee - data - 16)[31:0]
# jitlink-check: section_addr(case.o, .data) = data
        .globl data
        .p2align 3
        .type data, @object
data:
        .quad callee
        .quad callee+16
        .long callee-.
        .long 0
        .size data, .-data
