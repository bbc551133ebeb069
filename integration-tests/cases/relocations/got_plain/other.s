	.globl target, called
	.bss
	.p2align 4
target:	.zero 16
	.text
	.type called, @function
called:	movl $9, %eax
	ret
	.section .note.GNU-stack,"",@progbits
