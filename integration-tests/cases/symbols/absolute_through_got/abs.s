	.globl own_absolute
	own_absolute = 0x4321
	.section .note.GNU-stack,"",@progbits
