	.text
	.globl other
	.hidden other
	.type other, @function
other:	movl $40, %eax
	ret
	.data
	.globl target
	.hidden target
target:	.long 1, 2, 3, 4
	.section .note.GNU-stack,"",@progbits
