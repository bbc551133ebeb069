# Jumps, branches, pairs of upper and lower halves, compressed jumps, slots and pointers.
#
# triple: riscv64-unknown-linux-gnu
# assembler: -mattr=+c -position-independent
# arguments: -slab-allocate 1Mb -slab-address 0x1000f0000 -slab-page-size 4096
# arguments: -abs far=0x7fff00000000

        .option norelax
        .text
        .globl main
        .p2align 1
        .type main, @function
main:
        ret
        .size main, .-main

# jitlink-check: decode_operand(jump, 1)[20:0] = (callee - jump)[20:0]
        .globl jump
jump:
        jal ra, callee
        .size jump, .-jump

# jitlink-check: decode_operand(upper, 1) = ((data - upper + 0x800) >> 12)[19:0]
# jitlink-check: decode_operand(upper + 4, 2)[11:0] = (data - upper)[11:0]
        .globl upper
upper:
        auipc a0, %pcrel_hi(data)
        lw a1, %pcrel_lo(upper)(a0)
        .size upper, .-upper

# jitlink-check: decode_operand(upper_store, 1) = ((data - upper_store + 0x800) >> 12)[19:0]
# jitlink-check: decode_operand(upper_store + 4, 2)[11:0] = (data - upper_store)[11:0]
        .globl upper_store
upper_store:
        auipc a0, %pcrel_hi(data)
        sw a1, %pcrel_lo(upper_store)(a0)
        .size upper_store, .-upper_store

# jitlink-check: decode_operand(slot, 1) = ((got_addr(case.o, far) - slot + 0x800) >> 12)[19:0]
# jitlink-check: decode_operand(slot + 4, 2)[11:0] = (got_addr(case.o, far) - slot)[11:0]
# jitlink-check: *{8}(got_addr(case.o, far)) = far
        .globl slot
slot:
        auipc a0, %got_pcrel_hi(far)
        ld a0, %pcrel_lo(slot)(a0)
        .size slot, .-slot

        .globl callee
        .type callee, @function
callee:
        ret
        .size callee, .-callee

        .data
# jitlink-check: *{8}data = callee
# jitlink-check: section_addr(case.o, .data) = data
        .globl data
        .p2align 3
        .type data, @object
data:
        .quad callee
        .size data, .-data
