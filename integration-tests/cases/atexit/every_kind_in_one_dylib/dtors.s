	.text
dtor:
	leaq 1f(%rip), %rdi
	jmp say@PLT
	.section .rodata
1:	.string "dtors"
	.section .dtors,"aw",@progbits
	.p2align 3
	.quad dtor
	.section .note.GNU-stack,"",@progbits
