	.text
	.macro fini name, text
\name:
	leaq 1f(%rip), %rdi
	jmp say@PLT
	.section .rodata
1:	.string "\text"
	.text
	.endm
	fini d1, "first in .dtors"
	fini d2, "second in .dtors"
	.section .dtors,"aw",@progbits
	.p2align 3
	.quad d1
	.quad d2
	.section .note.GNU-stack,"",@progbits
