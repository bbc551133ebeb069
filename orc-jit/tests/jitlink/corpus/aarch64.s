# Branches, pages, offsets of loads and stores, wide moves, slots and stubs.
#
# triple: aarch64-unknown-linux-gnu
# assembler: -position-independent
# arguments: -slab-allocate 2Mb -slab-address 0x100000000 -slab-page-size 4096
# arguments: -abs far=0x7fff00000000 -abs remote=0x7ffe12345678

        .text
        .globl main
        .p2align 2
        .type main, @function
main:
        ret
        .size main, .-main

# jitlink-check: decode_operand(branch, 0)[25:0] = (callee - branch)[27:2]
# jitlink-check: decode_operand(branch + 4, 0)[25:0] = (callee - branch - 4)[27:2]
# jitlink-check: next_pc(branch) = branch + 4
        .globl branch
branch:
        bl callee
        b callee
        .size branch, .-branch

# jitlink-check: decode_operand(branch_far, 0)[25:0] = (stub_addr(case.o, far) - branch_far)[27:2]
# jitlink-check: *{8}(got_addr(case.o, far)) = far
        .globl branch_far
branch_far:
        bl far
        .size branch_far, .-branch_far

# jitlink-check: decode_operand(conditional, 1)[18:0] = (callee - conditional)[20:2]
# jitlink-check: decode_operand(conditional + 4, 1)[18:0] = (callee - conditional - 4)[20:2]
# jitlink-check: decode_operand(conditional + 8, 2)[13:0] = (callee - conditional - 8)[15:2]
        .globl conditional
conditional:
        cbz x0, callee
        b.ne callee
        tbz x0, #3, callee
        .size conditional, .-conditional

# jitlink-check: decode_operand(page, 1) = (data[32:12] - page[32:12])
# jitlink-check: decode_operand(page + 4, 2) = data[11:0]
# jitlink-check: decode_operand(page + 8, 2) = data[11:3]
# jitlink-check: decode_operand(page + 12, 2) = data[11:0]
# jitlink-check: decode_operand(page + 16, 2) = data[11:1]
# jitlink-check: decode_operand(page + 20, 2) = data[11:2]
# jitlink-check: decode_operand(page + 24, 2) = data[11:4]
        .globl page
page:
        adrp x0, data
        add x0, x0, :lo12:data
        ldr x1, [x0, :lo12:data]
        ldrb w1, [x0, :lo12:data]
        ldrh w1, [x0, :lo12:data]
        str w1, [x0, :lo12:data]
        ldr q1, [x0, :lo12:data]
        .size page, .-page

# jitlink-check: decode_operand(slot, 1) = (got_addr(case.o, remote)[32:12] - slot[32:12])
# jitlink-check: decode_operand(slot + 4, 2) = got_addr(case.o, remote)[11:3]
# jitlink-check: *{8}(got_addr(case.o, remote)) = remote
        .globl slot
slot:
        adrp x0, :got:remote
        ldr x0, [x0, :got_lo12:remote]
        .size slot, .-slot

# jitlink-check: decode_operand(wide, 1) = data[15:0]
# jitlink-check: decode_operand(wide + 4, 2) = data[31:16]
# jitlink-check: decode_operand(wide + 8, 2) = data[47:32]
# jitlink-check: decode_operand(wide + 12, 2) = data[63:48]
        .globl wide
wide:
        movz x0, #:abs_g0_nc:data
        movk x0, #:abs_g1_nc:data
        movk x0, #:abs_g2_nc:data
        movk x0, #:abs_g3:data
        .size wide, .-wide

        .globl callee
        .type callee, @function
callee:
        ret
        .size callee, .-callee

        .data
# jitlink-check: *{8}data = callee
# jitlink-check: (*{4}data + 8) = (callee - data - 8)[31:0]
# jitlink-check: section_addr(case.o, .data) = data
        .globl data
        .p2align 4
        .type data, @object
data:
        .xword callee
        .word callee-.
        .word 0
        .size data, .-data
