	.text
	.globl size32, size64, size_more
size32:	movl $table@SIZE, %eax
	ret
size64:	movabsq $table@SIZE, %rax
	ret
size_more:
	movl $table@SIZE+5, %eax
	ret
	.section .note.GNU-stack,"",@progbits
