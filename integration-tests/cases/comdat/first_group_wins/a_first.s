	.section .text.pick,"axG",@progbits,pick,comdat
	.weak pick
	.type pick, @function
pick:
	movl helper_data_first(%rip), %eax
	ret
	.size pick, .-pick
	.section .text.which,"axG",@progbits,pick,comdat
	.weak which
	.type which, @function
which:
	leaq name_first(%rip), %rax
	ret
	.size which, .-which
	.section .data.helper,"awG",@progbits,pick,comdat
helper_data_first:
	.long 1
	.section .rodata.name,"aG",@progbits,pick,comdat
name_first:
	.string "first"
	.section .note.GNU-stack,"",@progbits
