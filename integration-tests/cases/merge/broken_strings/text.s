	.section .rodata.odd,"aMS",@progbits,1
	.globl ended, unended
ended:
	.string "ended"
unended:
	.ascii "open"
	.section .note.GNU-stack,"",@progbits
