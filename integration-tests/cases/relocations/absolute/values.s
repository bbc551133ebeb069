	.globl value_7f, value_80, value_7fff, value_ffff, value_7fffffff, value_64, target
	value_7f = 0x7f
	value_80 = 0x80
	value_7fff = 0x7fff
	value_ffff = 0xffff
	value_7fffffff = 0x7fffffff
	value_64 = 0xfedcba9876543210
	.bss
	.p2align 4
target:	.zero 32
	.section .note.GNU-stack,"",@progbits
