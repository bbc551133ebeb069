	.globl value_256
	value_256 = 256
	.section .note.GNU-stack,"",@progbits
