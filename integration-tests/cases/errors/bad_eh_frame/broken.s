	.section .eh_frame,"a",@progbits
	.long 0x7000
	.long 0
	.byte 1, 0
	.section .note.GNU-stack,"",@progbits
