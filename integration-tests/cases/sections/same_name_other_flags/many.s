	.section mine,"a",@progbits,unique,1
r:	.long 1
	.section mine,"aw",@progbits,unique,2
w:	.long 2
	.section mine,"ax",@progbits,unique,3
	.globl called
	.type called, @function
called:
	movl $3, %eax
	ret
	.section mine,"aw",@nobits,unique,4
z:	.zero 64
	.text
	.globl read_only, writable, zeroed
read_only:
	movl r(%rip), %eax
	ret
writable:
	addl $10, w(%rip)
	movl w(%rip), %eax
	ret
zeroed:
	movl z+60(%rip), %eax
	ret
	.section .note.GNU-stack,"",@progbits
