	.globl small_absolute, wide_absolute, negative_absolute
	small_absolute = 0x1234
	wide_absolute = 0x123456789abcdef0
	negative_absolute = -16
	.text
	.globl as_quad, as_move, as_signed
as_quad:
	leaq quad(%rip), %rax
	movq (%rax), %rax
	ret
as_move:
	movl $from_other, %eax
	ret
as_signed:
	movq $negative_from_other, %rax
	ret
	.data
	.p2align 3
quad:	.quad wide_absolute
	.section .note.GNU-stack,"",@progbits
