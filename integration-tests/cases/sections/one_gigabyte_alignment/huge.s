	.section .bss.huge,"aw",@nobits
	.globl huge
	.p2align 30
huge:
	.zero 4096
	.section .note.GNU-stack,"",@progbits
