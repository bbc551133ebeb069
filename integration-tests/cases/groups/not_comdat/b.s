	.section .text.b,"axG",@progbits,tied
	.globl b
b:
	movl value(%rip), %eax
	ret
	.section .data.b,"awG",@progbits,tied
value:
	.long 22
	.section .note.GNU-stack,"",@progbits
