	.section .rodata.str1.1,"aMS",@progbits,1
.Lfirst:
	.string "alpha"
.Lsecond:
	.string "beta"
.Lthird:
	.string "alpha"
named:
	.string "gamma delta"
	.section .data.rel.ro,"aw",@progbits
	.p2align 3
	.globl table
table:
	.quad .Lfirst
	.quad .Lsecond
	.quad .Lthird
	.quad .Lfirst+2
	.quad .rodata.str1.1+6
	.quad named+6
	.text
	.globl by_code, inside
by_code:
	leaq .Lsecond(%rip), %rax
	ret
inside:
	leaq named+6(%rip), %rax
	ret
	.section .note.GNU-stack,"",@progbits
