	.section .rodata
	.globl bytes, words, longs, quads
bytes:	.byte value_7f, value_80, value_7f+1, 0
	.p2align 1
words:	.value value_7fff, value_ffff, value_7f+0x100, 0
	.p2align 2
longs:	.long value_7fffffff, target, target+12, 0
	.p2align 3
quads:	.quad value_64, target, target-8, 0
	.text
	.globl by_move32, by_move32s, by_movabs
by_move32:
	movl $target, %eax
	ret
by_move32s:
	movq $target+4, %rax
	ret
by_movabs:
	movabsq $target+8, %rax
	ret
	.section .note.GNU-stack,"",@progbits
