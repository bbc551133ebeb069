	.section .text.pick,"axG",@progbits,pick,comdat
	.weak pick
	.type pick, @function
pick:
	movl helper_data_second(%rip), %eax
	ret
	.size pick, .-pick
	.section .text.which,"axG",@progbits,pick,comdat
	.weak which
	.type which, @function
which:
	leaq name_second(%rip), %rax
	ret
	.size which, .-which
	.section .data.helper,"awG",@progbits,pick,comdat
helper_data_second:
	.long 2
	.section .rodata.name,"aG",@progbits,pick,comdat
name_second:
	.string "second"
	.section .text.only,"axG",@progbits,pick,comdat
	.weak only_in_second
	.type only_in_second, @function
only_in_second:
	ret
	.section .note.GNU-stack,"",@progbits
