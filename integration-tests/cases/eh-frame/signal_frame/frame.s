	.text
	.globl through_signal_frame, through_signal_frame_end
	.type through_signal_frame, @function
through_signal_frame:
	.cfi_startproc
	.cfi_signal_frame
	subq $8, %rsp
	.cfi_adjust_cfa_offset 8
	call *%rdi
	addq $8, %rsp
	.cfi_adjust_cfa_offset -8
	ret
	.cfi_endproc
through_signal_frame_end:
	.size through_signal_frame, .-through_signal_frame
	.section .note.GNU-stack,"",@progbits
