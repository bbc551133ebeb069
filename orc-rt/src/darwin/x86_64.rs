//! What code for macOS on x86-64 calls with conventions that C does not have.
//!
//! `unsafe` because this is assembly.
#![allow(unsafe_code)]

use std::sync::atomic::{AtomicU64, Ordering};

/// Names and addresses.
pub(super) fn entry_points() -> [(&'static str, u64); 2] {
    [("_tlv_bootstrap", thunk()), ("__chkstk_darwin", probe_stack as *const () as u64)]
}

/// The function that answers descriptors of the system's kind; set before anybody knows the thunk.
static DESCRIPTOR: AtomicU64 = AtomicU64::new(0);

fn thunk() -> u64 {
    DESCRIPTOR.store(crate::tls::descriptor_function(), Ordering::Relaxed);
    variable_thunk as *const () as u64
}

/// `void *(*thunk)(descriptor *)` of a variable's own descriptor, as macOS has them: `%rdi` points to it, its second word is 0 where its third is the distance from
/// the thread pointer, or else the two are module and offset. All registers but `%rax` and the flags are preserved.
#[unsafe(naked)]
extern "C" fn variable_thunk() {
    std::arch::naked_asm!(
        "mov rax, [rdi + 8]",
        "test rax, rax",
        "jnz 2f",
        "mov rax, [rdi + 16]",
        "add rax, qword ptr fs:[0]",
        "ret",
        // A descriptor of the other kind, whose pair is in the variable's.
        "2:",
        "sub rsp, 24",
        "lea rax, [rdi + 8]",
        "mov [rsp + 8], rax",
        "mov rax, rsp",
        "call [rip + {descriptor}]",
        "add rsp, 24",
        "add rax, qword ptr fs:[0]",
        "ret",
        descriptor = sym DESCRIPTOR,
    )
}

/// `___chkstk_darwin`: touches every page of the `%rax` bytes below the caller's stack pointer, in order, so that a guard page is not stepped over. All registers
/// but the flags are preserved.
#[unsafe(naked)]
extern "C" fn probe_stack() {
    std::arch::naked_asm!(
        "push rcx",
        "push rax",
        "lea rcx, [rsp + 24]",
        "2:",
        "cmp rax, 0x1000",
        "jb 3f",
        "sub rcx, 0x1000",
        "test [rcx], rcx",
        "sub rax, 0x1000",
        "jmp 2b",
        "3:",
        "sub rcx, rax",
        "test [rcx], rcx",
        "pop rax",
        "pop rcx",
        "ret",
    )
}

#[cfg(test)]
mod tests {
    use super::thunk;
    use crate::tls::{Storage, ThreadLocal, Wanted, address_here, locate};

    fn thread_pointer() -> u64 {
        // SAFETY: a place at no distance from it.
        unsafe { address_here(ThreadLocal { module: 0, offset: 0, distance: Some(0) }) }
    }

    /// The address that a variable's own descriptor gives.
    fn through_variable(words: [u64; 2]) -> u64 {
        let descriptor = [thunk(), words[0], words[1]];
        let mut kept: [u64; 7] = std::array::from_fn(|n| 0x6666 + n as u64);
        let (before, mut vector) = (kept, 4.5_f64);
        let [c, d, si, r8, r9, r10, r11] = &mut kept;
        let (address, pointer): (u64, *const u64);
        // SAFETY: the function is called as its convention says; it changes only the registers named.
        unsafe {
            std::arch::asm!(
                "call qword ptr [rdi]",
                out("rax") address,
                inout("rdi") descriptor.as_ptr() => pointer,
                inout("rcx") *c, inout("rdx") *d, inout("rsi") *si,
                inout("r8") *r8, inout("r9") *r9, inout("r10") *r10, inout("r11") *r11,
                inout("xmm7") vector,
            );
        }
        assert_eq!((kept, vector, pointer), (before, 4.5, descriptor.as_ptr()));
        address
    }

    #[test]
    fn a_variable_s_own_descriptor_gives_its_address_and_preserves_registers() {
        thread_local! { static VARIABLE: std::cell::Cell<u64> = const { std::cell::Cell::new(0x1234) } }
        let address = VARIABLE.with(|variable| std::ptr::from_ref(variable) as u64);
        let known = locate(address).expect("a variable of this program");
        let distance = address.wrapping_sub(thread_pointer());
        assert_eq!(through_variable([0, distance]), address);
        assert_eq!(through_variable([known.module, known.offset]), address);
        let storage = Storage::reserve(Wanted { size: 1 << 20, align: 8, constant: false }).expect("memory");
        let variable = ThreadLocal { offset: 40, ..storage.place() };
        let look = || {
            let first = through_variable([variable.module, variable.offset]);
            assert_eq!(through_variable([variable.module, variable.offset]), first);
            // SAFETY: the storage is there.
            assert_eq!(unsafe { address_here(variable) }, first);
            first
        };
        let here = look();
        assert_ne!(std::thread::scope(|scope| scope.spawn(look).join()).expect("no panic"), here);
    }

    #[test]
    fn probing_the_stack_changes_no_register() {
        for size in [0_u64, 8, 0xfff, 0x1000, 0x1001, 0x2_0000] {
            let (mut kept, before): ([u64; 2], _) = ([1, 2], [1, 2]);
            let [c, d] = &mut kept;
            let after: u64;
            // SAFETY: the function is called as its convention says; the stack has more room than that.
            unsafe {
                std::arch::asm!("call {}", sym super::probe_stack, inout("rax") size => after, inout("rcx") *c, inout("rdx") *d);
            }
            assert_eq!((after, kept), (size, before));
        }
    }
}
