	.data
	.globl narrow
narrow:	.byte value_256
	.section .note.GNU-stack,"",@progbits
