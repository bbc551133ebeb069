	.text
	.globl through_got, through_relaxable, given_value
through_got:
	leaq own_absolute@GOTPCREL(%rip), %rax
	movq (%rax), %rax
	ret
through_relaxable:
	movq own_absolute@GOTPCREL(%rip), %rax
	ret
given_value:
	movl $given, %eax
	ret
	.section .note.GNU-stack,"",@progbits
