	.text
	.macro init name, text
	.type \name, @function
\name:
	leaq 1f(%rip), %rdi
	jmp say@PLT
	.section .rodata
1:	.string "\text"
	.text
	.endm
	init c200, ".ctors 200"
	init c400a, ".ctors 400, first in the array"
	init c400b, ".ctors 400, second in the array"
	init plain_a, ".ctors, first in the array"
	init plain_b, ".ctors, second in the array"

	.section .ctors.65335,"aw",@progbits
	.p2align 3
	.quad c200
	.section .ctors.65135,"aw",@progbits
	.p2align 3
	.quad c400a
	.quad c400b
	.section .ctors,"aw",@progbits
	.p2align 3
	.quad plain_a
	.quad plain_b
	.section .note.GNU-stack,"",@progbits
