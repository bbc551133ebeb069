	.altmacro
	.macro piece n
	.section .text.f\n,"ax",@progbits
f\n:
	incl %eax
	ret
	.endm
	.set i, 0
	.rept 70000
	piece %i
	.set i, i+1
	.endr
	.text
	.globl first, last
first:
	movl $10, %eax
	call f0
	ret
last:
	movl $20, %eax
	call f69999
	call f35000
	ret
	.section .note.GNU-stack,"",@progbits
