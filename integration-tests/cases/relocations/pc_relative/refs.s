	.section .rodata.near,"a",@progbits
	.globl near_byte, near_word, landing
near_byte:
	.reloc ., R_X86_64_PC8, landing
	.byte 0
	.p2align 1
near_word:
	.reloc ., R_X86_64_PC16, landing
	.value 0
	.zero 40
landing:
	.byte 1
	.section .data.rel.ro,"aw",@progbits
	.globl far_long, far_quad
	.p2align 3
far_long:
	.long target-.
	.long target+8-.
	.long 0
	.p2align 3
far_quad:
	.quad target-.
	.quad call_plt-.
	.text
	.globl call_plt, jump_plt, call_pc32, conditional, host_length
	.type call_plt, @function
	.hidden call_plt
call_plt:
	subq $8, %rsp
	call other@PLT
	addl $1, %eax
	addq $8, %rsp
	ret
jump_plt:
	jmp other@PLT
call_pc32:
	subq $8, %rsp
	.byte 0xe8
	.reloc ., R_X86_64_PC32, other-4
	.long 0
	addl $2, %eax
	addq $8, %rsp
	ret
conditional:
	testl %edi, %edi
	jne other
	movl $5, %eax
	ret
host_length:
	jmp strlen@PLT
	.section .note.GNU-stack,"",@progbits
