	.section .eh_frame,"a",@progbits
	.p2align 2
	.long 0
	.section .note.GNU-stack,"",@progbits
