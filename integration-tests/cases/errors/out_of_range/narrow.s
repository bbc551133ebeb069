	.data
	.globl narrow
narrow:	.long wide_value
	.section .note.GNU-stack,"",@progbits
