	.section .data.rel.ro,"aw",@progbits
	.globl slot_from_here
	.p2align 3
slot_from_here:
	.long target@GOTPCREL
	.long 0
	.text
	.globl pcrel64, got32, got64, gotplt64
pcrel64:
	leaq 1f(%rip), %rcx
	.byte 0x48, 0xb8
1:	.reloc 1b, R_X86_64_GOTPCREL64, target
	.quad 0
	movq (%rcx,%rax), %rax
	ret
	.macro table
	leaq _GLOBAL_OFFSET_TABLE_(%rip), %rcx
	.endm
got32:	table
	.byte 0xb8
2:	.reloc 2b, R_X86_64_GOT32, target
	.long 0
	movslq %eax, %rax
	movq (%rcx,%rax), %rax
	ret
got64:	table
	movabsq $target@GOT, %rax
	movq (%rcx,%rax), %rax
	ret
gotplt64:
	table
	.byte 0x48, 0xb8
3:	.reloc 3b, R_X86_64_GOTPLT64, called
	.quad 0
	movq (%rcx,%rax), %rax
	ret
	.section .note.GNU-stack,"",@progbits
