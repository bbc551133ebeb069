// Every relocation that an assembler makes for aarch64 (LP64), but for thread-local sequences, which compilers' output has.
    .text
    .globl code
    .type code, %function
code:
    bl other
    b other
    b.ne near
    cbz x0, near
    tbz w1, #5, near
    tbnz x1, #40, near
near:
    adr x0, near
    adrp x1, data
    adrp x1, :pg_hi21_nc:data
    add x1, x1, #:lo12:data
    ldrb w2, [x1, #:lo12:byte]
    ldrsb x2, [x1, #:lo12:byte]
    ldrh w2, [x1, #:lo12:half]
    ldrsh x2, [x1, #:lo12:half]
    ldr w2, [x1, #:lo12:data]
    ldrsw x2, [x1, #:lo12:data]
    ldr x2, [x1, #:lo12:data]
    ldr d2, [x1, #:lo12:data]
    ldr q2, [x1, #:lo12:wide]
    str q2, [x1, #:lo12:wide+16]
    strb w2, [x1, #:lo12:byte+1]
    ldr x3, literal
    ldrsw x3, literal
    ldr q3, literal
    prfm pldl1keep, literal
    movz x4, #:abs_g0:small
    movk x4, #:abs_g0_nc:data
    movz x4, #:abs_g1:data
    movk x4, #:abs_g1_nc:data
    movz x4, #:abs_g2:data
    movk x4, #:abs_g2_nc:data
    movz x4, #:abs_g3:data
    movz x5, #:abs_g0_s:small
    movn x5, #:abs_g0_s:negative
    movz x5, #:abs_g1_s:data
    movz x5, #:abs_g1_s:negative
    movz x5, #:abs_g2_s:negative
    movn x5, #:abs_g2_s:data
    movz x6, #:prel_g0:near
    movk x6, #:prel_g0_nc:data
    movz x6, #:prel_g1:data
    movz x6, #:prel_g1:code-0x100000
    movk x6, #:prel_g1_nc:data
    movz x6, #:prel_g2:data
    movk x6, #:prel_g2_nc:data
    movz x6, #:prel_g3:data
    adrp x7, :got:data
    ldr x7, [x7, #:got_lo12:data]
    adrp x8, :got:other
    ldr x8, [x8, #:got_lo12:other]
    ret
    .balign 16
literal:
    .quad data, other
    .section .rodata.literal, "a"
    .balign 8
    .quad data - 8, code + 4, literal
    .word other, data + 2
    .word data - ., code - . + 8
    .quad data - ., other - .
    .hword small, 0xfff0
    .hword .rodata_end - .
.rodata_end:
    .data
    .balign 16
    .globl data
data:
wide:
    .quad 1, 2, 3, 4
half:
    .hword 5
byte:
    .byte 6, 7
    .set small, 0x1234
    .set negative, -0x1235
    .globl small, negative
