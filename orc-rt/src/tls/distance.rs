//! Asks the dynamic loader for a variable's distance from the thread pointer, as initial-exec code does: by a relocation.
//!
//! A library that was opened late has static storage only if something asks for it before its variables are first used; the loader then
//! takes it from a reserve and gives it to all threads (glibc: "static TLS surplus"). The only way to ask is to load a module with such
//! a relocation, and ours is a few hundred bytes in a memory file, and is closed at once.
//!
//! `unsafe` because loading is.
#![allow(unsafe_code)]

use super::{ThreadLocal, machine};
use std::ffi::{CStr, CString, c_int, c_void};
use std::io::Write as _;
use std::os::fd::AsRawFd as _;

/// The variable that the process calls `name`, with its distance; `None` when there is none or it cannot have one.
pub(crate) fn ask(name: &CStr) -> Option<ThreadLocal> {
    let [module, offset, distance] = answer(&question(name.to_bytes_with_nul()))?;
    (module != 0).then_some(ThreadLocal { module, offset, distance: Some(distance as i64) })
}

/// Loads `module`, whose last words are what is asked for, and reads them.
fn answer(module: &[u8]) -> Option<[u64; 3]> {
    unsafe extern "C-unwind" {
        fn dlinfo(handle: *mut c_void, request: c_int, info: *mut c_void) -> c_int;
    }
    const RTLD_DI_LINKMAP: c_int = 2;
    let file = crate::sys::file_in_memory(c"tls-distance").ok()?;
    let mut file = std::fs::File::from(file);
    file.write_all(module).ok()?;
    let path = CString::new(format!("/proc/self/fd/{}", file.as_raw_fd())).ok()?;
    // SAFETY: the module has no code: nothing runs.
    let handle = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
    if handle.is_null() {
        // Its text would be taken for that of somebody else's failure.
        let _ = crate::native::system_error();
        return None;
    }
    let mut map: *const u64 = std::ptr::null();
    // SAFETY: the handle is open, and the result is a pointer to `struct link_map`, which begins with the load address.
    let words = unsafe {
        if dlinfo(handle, RTLD_DI_LINKMAP, (&raw mut map).cast()) == 0 && !map.is_null() {
            let words: *const [u64; 3] = std::ptr::with_exposed_provenance(*map as usize + module.len() - 24);
            Some(*words)
        } else {
            None
        }
    };
    // SAFETY: open, and nothing of it is in use.
    unsafe { libc::dlclose(handle) };
    words
}

/// A shared library (gABI, "Dynamic Linking") that consists of one weak reference to `name`, which ends in a zero byte.
fn question(name: &[u8]) -> Vec<u8> {
    const EHDR: u64 = 64;
    const PHDR: u64 = 56;
    const SYM: u64 = 24;
    const RELA: u64 = 24;
    const DYN: u64 = 16;
    let dynamic = EHDR + 2 * PHDR;
    let symbols = dynamic + 8 * DYN;
    let rela = symbols + 2 * SYM;
    let strings = rela + 3 * RELA;
    let words = (strings + 1 + name.len() as u64).next_multiple_of(8);
    let end = words + 3 * 8;
    let mut out: Vec<u8> = Vec::with_capacity(end as usize);
    let half = |out: &mut Vec<u8>, values: &[u16]| values.iter().for_each(|v| out.extend_from_slice(&v.to_le_bytes()));
    let word = |out: &mut Vec<u8>, values: &[u32]| values.iter().for_each(|v| out.extend_from_slice(&v.to_le_bytes()));
    let xword = |out: &mut Vec<u8>, values: &[u64]| values.iter().for_each(|v| out.extend_from_slice(&v.to_le_bytes()));
    // Elf64_Ehdr: 64 bits, little-endian, ET_DYN.
    out.extend_from_slice(&[0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    half(&mut out, &[3, machine::ELF_MACHINE]);
    word(&mut out, &[1]);
    xword(&mut out, &[0, EHDR, 0]);
    word(&mut out, &[0]);
    half(&mut out, &[EHDR as u16, PHDR as u16, 2, 0, 0, 0]);
    // PT_LOAD of everything, readable and writable; PT_DYNAMIC.
    word(&mut out, &[1, 6]);
    xword(&mut out, &[0, 0, 0, end, end, 0x1000]);
    word(&mut out, &[2, 6]);
    xword(&mut out, &[dynamic, dynamic, dynamic, 8 * DYN, 8 * DYN, 8]);
    // DT_STRTAB, DT_SYMTAB, DT_STRSZ, DT_SYMENT, DT_RELA, DT_RELASZ, DT_RELAENT, DT_NULL.
    let strings_size = 1 + name.len() as u64;
    for (tag, value) in
        [(5, strings), (6, symbols), (10, strings_size), (11, SYM), (7, rela), (8, 3 * RELA), (9, RELA), (0, 0)]
    {
        xword(&mut out, &[tag, value]);
    }
    // The null symbol, and the name: STB_WEAK, STT_TLS, undefined.
    out.extend_from_slice(&[0; SYM as usize]);
    word(&mut out, &[1]);
    out.extend_from_slice(&[2 << 4 | 6, 0, 0, 0]);
    xword(&mut out, &[0, 0]);
    // Three relocations of symbol 1, addend 0.
    for (kind, offset) in machine::MODULE_OFFSET_DISTANCE.into_iter().zip([0, 8, 16]) {
        xword(&mut out, &[words + offset, 1 << 32 | u64::from(kind), 0]);
    }
    out.push(0);
    out.extend_from_slice(name);
    out.resize(end as usize, 0);
    out
}

#[cfg(test)]
mod tests {
    use super::ask;

    #[test]
    fn the_loader_knows_variables_of_the_process_and_says_when_there_is_none() {
        // The C library's, which is there from the start.
        let found = ask(c"__libc_single_threaded_no_such_variable");
        assert_eq!(found, None);
        let library = libloading_of_the_cpp_runtime();
        let found = ask(c"_ZSt15__once_callable");
        assert_eq!(found.is_some(), library, "{found:?}");
        if let Some(variable) = found {
            let here = move || {
                // SAFETY: the variable was just found.
                unsafe { super::super::address_here(variable) }
            };
            let probe = move || {
                let pair = [variable.module, variable.offset];
                // SAFETY: the loader's own numbers.
                (here(), unsafe { super::super::get_address(pair.as_ptr()) })
            };
            let (by_distance, by_module) = probe();
            assert_eq!(by_distance, by_module);
            let (by_distance, by_module) = std::thread::spawn(probe).join().expect("no panic");
            assert_eq!(by_distance, by_module);
        }
    }

    fn libloading_of_the_cpp_runtime() -> bool {
        crate::native::Native::default().open("libstdc++.so.6").is_ok()
    }
}
