	.globl target, function, absolute_value
	absolute_value = 0x1234
	.bss
	.p2align 4
target:	.zero 16
	.text
	.type function, @function
function:
	movl $30, %eax
	ret
	.section .note.GNU-stack,"",@progbits
