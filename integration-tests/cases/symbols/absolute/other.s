	.globl from_other, negative_from_other
	from_other = 0x7fffffff
	negative_from_other = -2
	.section .note.GNU-stack,"",@progbits
