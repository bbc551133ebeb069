	.text
	.globl by_pc32, by_pc64, offset_data, offset_inside, call_offset, call_host
by_pc32:
	leaq _GLOBAL_OFFSET_TABLE_(%rip), %rax
	ret
by_pc64:
1:	leaq 1b(%rip), %rax
	movabsq $_GLOBAL_OFFSET_TABLE_-1b, %rcx
	addq %rcx, %rax
	ret
offset_data:
	leaq _GLOBAL_OFFSET_TABLE_(%rip), %rcx
	movabsq $target@GOTOFF, %rax
	addq %rcx, %rax
	ret
offset_inside:
	leaq _GLOBAL_OFFSET_TABLE_(%rip), %rcx
	movabsq $target@GOTOFF+12, %rax
	addq %rcx, %rax
	ret
call_offset:
	subq $8, %rsp
	leaq _GLOBAL_OFFSET_TABLE_(%rip), %rcx
	movabsq $called@PLTOFF, %rax
	addq %rcx, %rax
	call *%rax
	addq $8, %rsp
	ret
call_host:
	subq $8, %rsp
	leaq _GLOBAL_OFFSET_TABLE_(%rip), %rcx
	leaq 2f(%rip), %rdi
	movabsq $strlen@PLTOFF, %rax
	addq %rcx, %rax
	call *%rax
	addq $8, %rsp
	ret
	.section .rodata
2:	.string "five."
	.section .note.GNU-stack,"",@progbits
