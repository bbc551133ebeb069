	.section .text.a,"axG",@progbits,tied
	.globl a
a:
	movl value(%rip), %eax
	ret
	.section .data.a,"awG",@progbits,tied
value:
	.long 11
	.section .note.GNU-stack,"",@progbits
