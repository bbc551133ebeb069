	.globl wide_value
	wide_value = 0x123456789a
	.section .note.GNU-stack,"",@progbits
