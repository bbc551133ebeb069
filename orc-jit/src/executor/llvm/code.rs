//! What our side adds to the executor: a page of code, since its own services call nothing with three arguments, return 32 bits, and know no
//! finalizers.
//!
//! You get the bytes and the offsets of their entry points; they hold no address, so they run wherever they are. Wrapper functions are called
//! by tag, with `(data, size)`, and return two registers: eight bytes (or a pointer to more, from malloc) and their number. None of this has
//! unwind tables: an exception that gets here ends the program with the C++ runtime's words, as one that leaves `main` does.
//!
//! The layout of records is that of [`super::undo`].
//!
//! **Not here:** machines other than x86-64.

/// Bytes of [`ROWS`].
pub(super) fn bytes() -> Vec<u8> {
    ROWS.iter().flat_map(|(_, bytes)| bytes.iter().copied()).collect()
}

/// Where the code behind a label begins.
pub(super) fn offset(label: &str) -> Option<u64> {
    let is_label = |text: &str| text.strip_suffix(':') == Some(label);
    let before = ROWS.iter().position(|(text, _)| is_label(text))?;
    Some(ROWS[..before].iter().map(|(_, bytes)| bytes.len() as u64).sum())
}

/// Assembly, and its bytes.
#[rustfmt::skip]
const ROWS: &[(&str, &[u8])] = &[
    // Wrapper function. Data: two arguments, the address of the third (0: it is 0), then arrays: address, count, step in bytes. Calls
    // every entry, in order; with step 0 the address is itself the function. Answers what the last call returned.
    ("run:", &[]),
    ("push rbp", &[0x55]),
    ("mov rbp, rsp", &[0x48, 0x89, 0xe5]),
    ("push rbx", &[0x53]),
    ("push r12", &[0x41, 0x54]),
    ("push r13", &[0x41, 0x55]),
    ("push r14", &[0x41, 0x56]),
    ("push r15", &[0x41, 0x57]),
    ("sub rsp, 8", &[0x48, 0x83, 0xec, 0x08]),
    ("mov rbx, rdi", &[0x48, 0x89, 0xfb]),
    ("lea r12, [rdi + rsi]", &[0x4c, 0x8d, 0x24, 0x37]),
    ("lea r13, [rdi + 24]", &[0x4c, 0x8d, 0x6f, 0x18]),
    ("xor eax, eax", &[0x31, 0xc0]),
    ("run_array:", &[]),
    ("cmp r13, r12", &[0x4d, 0x39, 0xe5]),
    ("jae run_done", &[0x73, 0x49]),
    ("mov r14, [r13]", &[0x4d, 0x8b, 0x75, 0x00]),
    ("mov r15, [r13 + 8]", &[0x4d, 0x8b, 0x7d, 0x08]),
    ("run_entry:", &[]),
    ("test r15, r15", &[0x4d, 0x85, 0xff]),
    ("jz run_next", &[0x74, 0x36]),
    ("dec r15", &[0x49, 0xff, 0xcf]),
    ("mov rax, r14", &[0x4c, 0x89, 0xf0]),
    ("mov rcx, [r13 + 16]", &[0x49, 0x8b, 0x4d, 0x10]),
    ("test rcx, rcx", &[0x48, 0x85, 0xc9]),
    ("jz run_call", &[0x74, 0x10]),
    ("mov rax, [r14]", &[0x49, 0x8b, 0x06]),
    ("add r14, rcx", &[0x49, 0x01, 0xce]),
    ("lea rcx, [rax + 1]", &[0x48, 0x8d, 0x48, 0x01]),
    ("cmp rcx, 1", &[0x48, 0x83, 0xf9, 0x01]),
    ("jbe run_entry", &[0x76, 0xdc]),
    ("run_call:", &[]),
    ("mov rdi, [rbx]", &[0x48, 0x8b, 0x3b]),
    ("mov rsi, [rbx + 8]", &[0x48, 0x8b, 0x73, 0x08]),
    ("mov rdx, [rbx + 16]", &[0x48, 0x8b, 0x53, 0x10]),
    ("test rdx, rdx", &[0x48, 0x85, 0xd2]),
    ("jz run_plain", &[0x74, 0x03]),
    ("mov rdx, [rdx]", &[0x48, 0x8b, 0x12]),
    ("run_plain:", &[]),
    ("call rax", &[0xff, 0xd0]),
    ("jmp run_entry", &[0xeb, 0xc5]),
    ("run_next:", &[]),
    ("add r13, 24", &[0x49, 0x83, 0xc5, 0x18]),
    ("jmp run_array", &[0xeb, 0xb2]),
    ("run_done:", &[]),
    ("mov edx, 8", &[0xba, 0x08, 0x00, 0x00, 0x00]),
    ("add rsp, 8", &[0x48, 0x83, 0xc4, 0x08]),
    ("pop r15", &[0x41, 0x5f]),
    ("pop r14", &[0x41, 0x5e]),
    ("pop r13", &[0x41, 0x5d]),
    ("pop r12", &[0x41, 0x5c]),
    ("pop rbx", &[0x5b]),
    ("pop rbp", &[0x5d]),
    ("ret", &[0xc3]),
    // Wrapper function. Data: a function and six arguments. Answers what it returns.
    ("call:", &[]),
    ("push rbp", &[0x55]),
    ("mov rbp, rsp", &[0x48, 0x89, 0xe5]),
    ("mov r11, [rdi]", &[0x4c, 0x8b, 0x1f]),
    ("mov rsi, [rdi + 16]", &[0x48, 0x8b, 0x77, 0x10]),
    ("mov rdx, [rdi + 24]", &[0x48, 0x8b, 0x57, 0x18]),
    ("mov rcx, [rdi + 32]", &[0x48, 0x8b, 0x4f, 0x20]),
    ("mov r8, [rdi + 40]", &[0x4c, 0x8b, 0x47, 0x28]),
    ("mov r9, [rdi + 48]", &[0x4c, 0x8b, 0x4f, 0x30]),
    ("mov rdi, [rdi + 8]", &[0x48, 0x8b, 0x7f, 0x08]),
    ("xor eax, eax", &[0x31, 0xc0]),
    ("call r11", &[0x41, 0xff, 0xd3]),
    ("pop rbp", &[0x5d]),
    ("mov edx, 8", &[0xba, 0x08, 0x00, 0x00, 0x00]),
    ("ret", &[0xc3]),
    // Wrapper function. Data: dladdr1, malloc, then addresses. Answers two words for each: st_info and st_size of the symbol that begins
    // there; 256 and 0 when a library covers it and no symbol begins there; 0 and 0 else. Two words more follow, so that it is never short.
    ("describe:", &[]),
    ("push rbp", &[0x55]),
    ("mov rbp, rsp", &[0x48, 0x89, 0xe5]),
    ("push rbx", &[0x53]),
    ("push r12", &[0x41, 0x54]),
    ("push r13", &[0x41, 0x55]),
    ("push r14", &[0x41, 0x56]),
    ("sub rsp, 48", &[0x48, 0x83, 0xec, 0x30]),
    ("mov rbx, rdi", &[0x48, 0x89, 0xfb]),
    ("lea r12, [rsi - 16]", &[0x4c, 0x8d, 0x66, 0xf0]),
    ("lea rdi, [r12 * 2 + 16]", &[0x4a, 0x8d, 0x3c, 0x65, 0x10, 0x00, 0x00, 0x00]),
    ("call [rbx + 8]", &[0xff, 0x53, 0x08]),
    ("xor edx, edx", &[0x31, 0xd2]),
    ("test rax, rax", &[0x48, 0x85, 0xc0]),
    ("jz describe_done", &[0x0f, 0x84, 0x80, 0x00, 0x00, 0x00]),
    ("mov r13, rax", &[0x49, 0x89, 0xc5]),
    ("xor r14d, r14d", &[0x45, 0x31, 0xf6]),
    ("describe_next:", &[]),
    ("mov qword ptr [r13 + r14 * 2], 0", &[0x4b, 0xc7, 0x44, 0x75, 0x00, 0x00, 0x00, 0x00, 0x00]),
    ("mov qword ptr [r13 + r14 * 2 + 8], 0", &[0x4b, 0xc7, 0x44, 0x75, 0x08, 0x00, 0x00, 0x00, 0x00]),
    ("cmp r14, r12", &[0x4d, 0x39, 0xe6]),
    ("jae describe_all", &[0x73, 0x58]),
    ("mov qword ptr [rsp + 32], 0", &[0x48, 0xc7, 0x44, 0x24, 0x20, 0x00, 0x00, 0x00, 0x00]),
    ("mov rdi, [rbx + r14 + 16]", &[0x4a, 0x8b, 0x7c, 0x33, 0x10]),
    ("mov rsi, rsp", &[0x48, 0x89, 0xe6]),
    ("lea rdx, [rsp + 32]", &[0x48, 0x8d, 0x54, 0x24, 0x20]),
    ("mov ecx, 1", &[0xb9, 0x01, 0x00, 0x00, 0x00]),
    ("call [rbx]", &[0xff, 0x13]),
    ("test eax, eax", &[0x85, 0xc0]),
    ("jz describe_skip", &[0x74, 0x31]),
    ("mov qword ptr [r13 + r14 * 2], 256", &[0x4b, 0xc7, 0x44, 0x75, 0x00, 0x00, 0x01, 0x00, 0x00]),
    ("mov rax, [rbx + r14 + 16]", &[0x4a, 0x8b, 0x44, 0x33, 0x10]),
    ("cmp rax, [rsp + 24]", &[0x48, 0x3b, 0x44, 0x24, 0x18]),
    ("jne describe_skip", &[0x75, 0x1c]),
    ("mov rcx, [rsp + 32]", &[0x48, 0x8b, 0x4c, 0x24, 0x20]),
    ("test rcx, rcx", &[0x48, 0x85, 0xc9]),
    ("jz describe_skip", &[0x74, 0x12]),
    ("movzx eax, byte ptr [rcx + 4]", &[0x0f, 0xb6, 0x41, 0x04]),
    ("mov [r13 + r14 * 2], rax", &[0x4b, 0x89, 0x44, 0x75, 0x00]),
    ("mov rax, [rcx + 16]", &[0x48, 0x8b, 0x41, 0x10]),
    ("mov [r13 + r14 * 2 + 8], rax", &[0x4b, 0x89, 0x44, 0x75, 0x08]),
    ("describe_skip:", &[]),
    ("add r14, 8", &[0x49, 0x83, 0xc6, 0x08]),
    ("jmp describe_next", &[0xeb, 0x91]),
    ("describe_all:", &[]),
    ("mov rax, r13", &[0x4c, 0x89, 0xe8]),
    ("lea rdx, [r12 * 2 + 16]", &[0x4a, 0x8d, 0x14, 0x65, 0x10, 0x00, 0x00, 0x00]),
    ("describe_done:", &[]),
    ("add rsp, 48", &[0x48, 0x83, 0xc4, 0x30]),
    ("pop r14", &[0x41, 0x5e]),
    ("pop r13", &[0x41, 0x5d]),
    ("pop r12", &[0x41, 0x5c]),
    ("pop rbx", &[0x5b]),
    ("pop rbp", &[0x5d]),
    ("ret", &[0xc3]),
    // A handler of `__cxa_atexit`: `void undo(record, status)`. Finalizes if the dylib is being closed.
    ("undo:", &[]),
    ("cmp qword ptr [rdi + 16], 0", &[0x48, 0x83, 0x7f, 0x10, 0x00]),
    ("jne finalize", &[0x75, 0x01]),
    ("ret", &[0xc3]),
    // `void finalize(record)`: runs the record's arrays, once.
    ("finalize:", &[]),
    ("push rbp", &[0x55]),
    ("mov rbp, rsp", &[0x48, 0x89, 0xe5]),
    ("push rbx", &[0x53]),
    ("push r12", &[0x41, 0x54]),
    ("push r13", &[0x41, 0x55]),
    ("push r14", &[0x41, 0x56]),
    ("mov eax, 1", &[0xb8, 0x01, 0x00, 0x00, 0x00]),
    ("xchg rax, [rdi + 8]", &[0x48, 0x87, 0x47, 0x08]),
    ("test rax, rax", &[0x48, 0x85, 0xc0]),
    ("jnz finalize_done", &[0x75, 0x3b]),
    ("lea rbx, [rdi + 32]", &[0x48, 0x8d, 0x5f, 0x20]),
    ("mov r12, [rdi + 24]", &[0x4c, 0x8b, 0x67, 0x18]),
    ("finalize_array:", &[]),
    ("test r12, r12", &[0x4d, 0x85, 0xe4]),
    ("jz finalize_done", &[0x74, 0x2e]),
    ("dec r12", &[0x49, 0xff, 0xcc]),
    ("mov r13, [rbx]", &[0x4c, 0x8b, 0x2b]),
    ("mov r14, [rbx + 8]", &[0x4c, 0x8b, 0x73, 0x08]),
    ("finalize_entry:", &[]),
    ("test r14, r14", &[0x4d, 0x85, 0xf6]),
    ("jz finalize_next", &[0x74, 0x19]),
    ("dec r14", &[0x49, 0xff, 0xce]),
    ("mov rax, [r13]", &[0x49, 0x8b, 0x45, 0x00]),
    ("add r13, [rbx + 16]", &[0x4c, 0x03, 0x6b, 0x10]),
    ("lea rcx, [rax + 1]", &[0x48, 0x8d, 0x48, 0x01]),
    ("cmp rcx, 1", &[0x48, 0x83, 0xf9, 0x01]),
    ("jbe finalize_entry", &[0x76, 0xe6]),
    ("call rax", &[0xff, 0xd0]),
    ("jmp finalize_entry", &[0xeb, 0xe2]),
    ("finalize_next:", &[]),
    ("add rbx, 24", &[0x48, 0x83, 0xc3, 0x18]),
    ("jmp finalize_array", &[0xeb, 0xcd]),
    ("finalize_done:", &[]),
    ("pop r14", &[0x41, 0x5e]),
    ("pop r13", &[0x41, 0x5d]),
    ("pop r12", &[0x41, 0x5c]),
    ("pop rbx", &[0x5b]),
    ("pop rbp", &[0x5d]),
    ("ret", &[0xc3]),
    // A handler of `__cxa_atexit`: `void at_exit(list, status)`. Finalizes every record, the latest first.
    ("at_exit:", &[]),
    ("push rbx", &[0x53]),
    ("mov rbx, [rdi]", &[0x48, 0x8b, 0x1f]),
    ("at_exit_next:", &[]),
    ("test rbx, rbx", &[0x48, 0x85, 0xdb]),
    ("jz at_exit_done", &[0x74, 0x0d]),
    ("mov rdi, rbx", &[0x48, 0x89, 0xdf]),
    ("mov rbx, [rbx]", &[0x48, 0x8b, 0x1b]),
    ("call finalize", &[0xe8, 0x8f, 0xff, 0xff, 0xff]),
    ("jmp at_exit_next", &[0xeb, 0xee]),
    ("at_exit_done:", &[]),
    ("pop rbx", &[0x5b]),
    ("ret", &[0xc3]),
    // `void *guard(data)`, a thread. Data: a process, getppid, usleep, _exit, pthread_sigmask, a full set of signals. Ends this process soon
    // after that one has.
    ("guard:", &[]),
    ("push rbx", &[0x53]),
    ("mov rbx, rdi", &[0x48, 0x89, 0xfb]),
    ("xor edi, edi", &[0x31, 0xff]),
    ("lea rsi, [rbx + 40]", &[0x48, 0x8d, 0x73, 0x28]),
    ("xor edx, edx", &[0x31, 0xd2]),
    ("call [rbx + 32]", &[0xff, 0x53, 0x20]),
    ("guard_next:", &[]),
    ("mov edi, 200000", &[0xbf, 0x40, 0x0d, 0x03, 0x00]),
    ("call [rbx + 16]", &[0xff, 0x53, 0x10]),
    ("call [rbx + 8]", &[0xff, 0x53, 0x08]),
    ("cmp eax, [rbx]", &[0x3b, 0x03]),
    ("je guard_next", &[0x74, 0xf1]),
    ("mov edi, 1", &[0xbf, 0x01, 0x00, 0x00, 0x00]),
    ("call [rbx + 24]", &[0xff, 0x53, 0x18]),
];

#[cfg(test)]
mod tests {
    use super::{ROWS, bytes, offset};
    use object::{Object, ObjectSection};
    use std::io::Write;
    use std::process::{Command, Stdio};

    #[test]
    fn the_bytes_are_those_of_the_assembly() {
        let mut text = ".intel_syntax noprefix\n".to_owned();
        ROWS.iter().for_each(|(row, _)| text.extend([row, "\n"]));
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("code.o");
        let mut child = Command::new("gcc")
            .args(["-x", "assembler", "-c", "-", "-o"])
            .arg(&path)
            .stdin(Stdio::piped())
            .spawn()
            .expect("gcc, which the tests need");
        child.stdin.take().expect("piped").write_all(text.as_bytes()).expect("it reads");
        assert!(child.wait().expect("it ends").success());
        let object = std::fs::read(&path).expect("an object");
        let object = object::File::parse(&*object).expect("an object");
        let section = object.section_by_name(".text").expect("code");
        assert_eq!(section.data().expect("bytes"), bytes());
    }

    #[test]
    fn labels_are_entry_points() {
        assert_eq!(offset("run"), Some(0));
        let at = offset("undo").expect("a label") as usize;
        assert_eq!(bytes()[at..at + 5], [0x48, 0x83, 0x7f, 0x10, 0x00], "cmp qword ptr [rdi + 16], 0");
        assert_eq!((offset("push rbp"), offset("nothing")), (None, None));
    }
}
