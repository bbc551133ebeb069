# int by_expression(int (*function)(int), int n): the frame's address stands in memory that %rsp leads to, and is told by an expression.
    .text
    .globl by_expression
    .type by_expression, @function
by_expression:
    .cfi_startproc
    leaq 8(%rsp), %rax
    pushq %rbp
    .cfi_def_cfa_offset 16
    .cfi_offset %rbp, -16
    andq $-128, %rsp
    subq $128, %rsp
    movq %rax, 64(%rsp)
    # DW_CFA_def_cfa_expression, 4 bytes: DW_OP_breg7 (rsp) 64, DW_OP_deref
    .cfi_escape 0x0f, 0x04, 0x77, 0xc0, 0x00, 0x06
    # Where the saved %rbp is: DW_CFA_expression, register 6, 6 bytes: DW_OP_breg7 (rsp) 64, DW_OP_deref, DW_OP_lit16, DW_OP_minus
    .cfi_escape 0x10, 0x06, 0x06, 0x77, 0xc0, 0x00, 0x06, 0x40, 0x1c
    # What is pushed already for that is the frame's address itself: nothing to be dropped.
    movq %rdi, %rax
    movl %esi, %edi
    call *%rax
    movq 64(%rsp), %rdx
    leaq -16(%rdx), %rsp
    .cfi_def_cfa %rsp, 16
    .cfi_offset %rbp, -16
    popq %rbp
    .cfi_def_cfa_offset 8
    .cfi_restore %rbp
    ret
    .cfi_endproc
    .size by_expression, .-by_expression

# An early return in the middle, after which the rules of before hold again.
    .globl remembers
    .type remembers, @function
remembers:
    .cfi_startproc
    pushq %rbx
    .cfi_def_cfa_offset 16
    .cfi_offset %rbx, -16
    subq $16, %rsp
    .cfi_def_cfa_offset 32
    movl %esi, %ebx
    testl %esi, %esi
    jne 1f
    .cfi_remember_state
    addq $16, %rsp
    .cfi_def_cfa_offset 16
    popq %rbx
    .cfi_def_cfa_offset 8
    .cfi_restore %rbx
    ret
    .cfi_restore_state
1:  movq %rdi, %rax
    movl %esi, %edi
    call *%rax
    addl %ebx, %eax
    addq $16, %rsp
    .cfi_def_cfa_offset 16
    popq %rbx
    .cfi_def_cfa_offset 8
    ret
    .cfi_endproc
    .size remembers, .-remembers

# The caller's %rbx stands in %r14 and that one's value on the stack.
    .globl in_registers
    .type in_registers, @function
in_registers:
    .cfi_startproc
    pushq %r14
    .cfi_def_cfa_offset 16
    .cfi_offset %r14, -16
    movq %rbx, %r14
    .cfi_register %rbx, %r14
    movq $-1, %rbx
    subq $8, %rsp
    .cfi_def_cfa_offset 24
    subq $8, %rsp
    .cfi_def_cfa_offset 32
    movq %rdi, %rax
    movl %esi, %edi
    call *%rax
    addq $16, %rsp
    .cfi_def_cfa_offset 16
    movq %r14, %rbx
    .cfi_restore %rbx
    popq %r14
    .cfi_def_cfa_offset 8
    ret
    .cfi_endproc
    .size in_registers, .-in_registers
    .section .note.GNU-stack,"",@progbits
