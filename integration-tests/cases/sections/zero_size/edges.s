	.data
	.globl at_start, at_end
at_start:
	.long 1, 2, 42
at_end:
	.section .data.empty,"aw",@progbits
	.globl empty, empty_also
empty:
empty_also:
	.text
	.globl end_value
end_value:
	movl at_end-4(%rip), %eax
	ret
	.section .text.nothing,"ax",@progbits
	.section .note.GNU-stack,"",@progbits
