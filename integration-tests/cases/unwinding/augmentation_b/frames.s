# Two functions that call, and their records by hand (LSB, "Exception Frames").
    .text
    .globl passes_b
    .type passes_b, @function
passes_b:
    subq $8, %rsp
.Lb_moved:
    movq %rdi, %rax
    movl %esi, %edi
    call *%rax
    addq $8, %rsp
    ret
.Lb_end:
    .size passes_b, .-passes_b
    .globl passes_all
    .type passes_all, @function
passes_all:
    subq $8, %rsp
.Lall_moved:
    movq %rdi, %rax
    movl %esi, %edi
    call *%rax
    addq $8, %rsp
    ret
.Lall_end:
    .size passes_all, .-passes_all

    .section .eh_frame,"a",@unwind
# zRB: the letter of AArch64's second key, which means nothing here and is stepped over.
.Lb_cie:
    .long .Lb_fde - .Lb_cie - 4
    .long 0
    .byte 1
    .asciz "zRB"
    .uleb128 1
    .sleb128 -8
    .byte 16
    .uleb128 1
    .byte 0x1b
    .byte 0x0c, 7, 8, 0x90, 1
    .p2align 3
.Lb_fde:
    .long .Lb_fde_end - .Lb_fde - 4
    .long . - .Lb_cie
    .long passes_b - .
    .long .Lb_end - passes_b
    .uleb128 0
    .byte 0x40 + (.Lb_moved - passes_b), 0x0e, 16
    .p2align 3
.Lb_fde_end:
# zPLRB: a personality that finds no table, and the table's pointer, null.
.Lall_cie:
    .long .Lall_fde - .Lall_cie - 4
    .long 0
    .byte 1
    .asciz "zPLRB"
    .uleb128 1
    .sleb128 -8
    .byte 16
    .uleb128 7
    .byte 0x9b
    .long personality_slot - .
    .byte 0x1b
    .byte 0x1b
    .byte 0x0c, 7, 8, 0x90, 1
    .p2align 3
.Lall_fde:
    .long .Lall_fde_end - .Lall_fde - 4
    .long . - .Lall_cie
    .long passes_all - .
    .long .Lall_end - passes_all
    .uleb128 4
    .long 0
    .byte 0x40 + (.Lall_moved - passes_all), 0x0e, 16
    .p2align 3
.Lall_fde_end:
    .section .data.rel.ro,"aw",@progbits
    .p2align 3
    .globl personality_slot
    .hidden personality_slot
personality_slot:
    .quad __gxx_personality_v0
    .section .note.GNU-stack,"",@progbits
