	.weak missing
	.text
	.globl through_plt, through_got, through_absolute
through_plt:
	movq missing@GOTPCREL(%rip), %rax
	testq %rax, %rax
	je 1f
	call missing@PLT
	movl $1, %eax
	ret
1:	xorl %eax, %eax
	ret
through_got:
	cmpq $0, missing@GOTPCREL(%rip)
	setne %al
	movzbl %al, %eax
	ret
through_absolute:
	movl $missing, %eax
	ret
	.section .note.GNU-stack,"",@progbits
