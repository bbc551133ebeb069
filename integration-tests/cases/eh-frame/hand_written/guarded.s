	.text
	.globl guarded
	.type guarded, @function
guarded:
	.cfi_startproc
	.cfi_personality 0x9b, DW.ref.__gxx_personality_v0
	.cfi_lsda 0x1b, .Ltable
	pushq %rbp
	.cfi_def_cfa_offset 16
	.cfi_offset %rbp, -16
	movq %rsp, %rbp
	.cfi_def_cfa_register %rbp
	.cfi_remember_state
	movq %rdi, %rax
	movl %esi, %edi
.Lcall:
	call *%rax
.Lcalled:
	popq %rbp
	.cfi_def_cfa %rsp, 8
	ret
.Lland:
	.cfi_restore_state
	movq %rax, %rdi
.Lresume:
	call _Unwind_Resume@PLT
.Lresumed:
	.cfi_endproc
.Lend:
	.size guarded, .-guarded

	.section .gcc_except_table,"a",@progbits
	.p2align 2
.Ltable:
	.byte 0xff
	.byte 0xff
	.byte 1
	.uleb128 .Lrows_end - .Lrows
.Lrows:
	.uleb128 .Lcall - guarded
	.uleb128 .Lcalled - .Lcall
	.uleb128 .Lland - guarded
	.uleb128 0
	.uleb128 .Lresume - guarded
	.uleb128 .Lresumed - .Lresume
	.uleb128 0
	.uleb128 0
.Lrows_end:

	.hidden DW.ref.__gxx_personality_v0
	.weak DW.ref.__gxx_personality_v0
	.section .data.rel.local.DW.ref.__gxx_personality_v0,"awG",@progbits,DW.ref.__gxx_personality_v0,comdat
	.p2align 3
	.type DW.ref.__gxx_personality_v0, @object
	.size DW.ref.__gxx_personality_v0, 8
DW.ref.__gxx_personality_v0:
	.quad __gxx_personality_v0
	.section .note.GNU-stack,"",@progbits
