	.text
	.globl move, sum, compare
move:	movl target@GOTPCREL(%rip), %eax
	ret
sum:	movl %edi, %eax
	addl target@GOTPCREL(%rip), %eax
	ret
compare:
	movl target@GOTPCREL(%rip), %ecx
	cmpl target@GOTPCREL(%rip), %ecx
	sete %al
	movzbl %al, %eax
	ret
	.bss
	.globl target
	.p2align 4
target:	.zero 16
	.section .note.GNU-stack,"",@progbits
