	.text
	.globl moves, moves_high, tests, compares, sums, logic, differences, calls, jumps, host_calls, host_address, absolute
moves:	movq target@GOTPCREL(%rip), %rax
	ret
moves_high:
	pushq %r12
	movq target@GOTPCREL(%rip), %r12
	movq %r12, %rax
	popq %r12
	ret
tests:	movq target@GOTPCREL(%rip), %rax
	testq %rax, target@GOTPCREL(%rip)
	setne %al
	movzbl %al, %eax
	ret
compares:
	movq target@GOTPCREL(%rip), %r9
	cmpq target@GOTPCREL(%rip), %r9
	sete %al
	movzbl %al, %eax
	ret
sums:	movq %rdi, %rax
	addq target@GOTPCREL(%rip), %rax
	clc
	adcq target@GOTPCREL(%rip), %rax
	ret
logic:	movq $-1, %rax
	andq target@GOTPCREL(%rip), %rax
	orq target@GOTPCREL(%rip), %rax
	xorl %r10d, %r10d
	xorq target@GOTPCREL(%rip), %r10
	cmpq %r10, %rax
	je 1f
	xorl %eax, %eax
1:	ret
differences:
	movq %rdi, %r11
	subq target@GOTPCREL(%rip), %r11
	clc
	sbbq target@GOTPCREL(%rip), %r11
	movq %r11, %rax
	ret
calls:	subq $8, %rsp
	call *function@GOTPCREL(%rip)
	addl $1, %eax
	addq $8, %rsp
	ret
jumps:	jmp *function@GOTPCREL(%rip)
host_calls:
	subq $8, %rsp
	leaq 1f(%rip), %rdi
	call *strlen@GOTPCREL(%rip)
	addq $8, %rsp
	ret
host_address:
	movq puts@GOTPCREL(%rip), %rax
	ret
absolute:
	movq absolute_value@GOTPCREL(%rip), %rax
	ret
	.section .rodata
1:	.string "twelve chars"
	.section .note.GNU-stack,"",@progbits
