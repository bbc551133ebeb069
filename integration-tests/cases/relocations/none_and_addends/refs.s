	.text
	.globl stores, compares, negative, past_the_end
	.reloc ., R_X86_64_NONE, kept
stores:	movl $77, local(%rip)
	movb $1, local+4(%rip)
	movl local(%rip), %eax
	addb local+4(%rip), %al
	ret
compares:
	cmpl $1000000, million(%rip)
	sete %al
	movzbl %al, %eax
	cmpb $7, seven(%rip)
	sete %cl
	addb %cl, %al
	ret
negative:
	leaq million-400(%rip), %rax
	movl 400(%rax), %eax
	ret
past_the_end:
	leaq end+64(%rip), %rax
	movl -68(%rax), %eax
	ret
	.data
	.zero 128
local:	.zero 8
million: .long 1000000
seven:	.byte 7
	.p2align 2
	.long 55
end:
	.section .data.kept,"aw",@progbits
kept:	.long 1
	.section .note.GNU-stack,"",@progbits
