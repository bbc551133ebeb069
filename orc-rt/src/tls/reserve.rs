//! Asks the dynamic loader, by modules made in memory: for a variable's distance from the thread pointer, as initial-exec code does, and for
//! static storage out of what it keeps in reserve.
//!
//! A library that was opened late has static storage only if something asks for it before its variables are first used; the loader then
//! takes it from a reserve and gives it to all threads (glibc: "static TLS surplus", which `GLIBC_TUNABLES=glibc.rtld.optional_static_tls=BYTES`
//! enlarges). The only way to ask is to load a module with such a relocation, and ours is a few hundred bytes in a memory file. One that asks for a
//! variable is closed at once; one that has storage stays.
//!
//! `unsafe` because loading is.
#![allow(unsafe_code)]

use super::ThreadLocal;
use crate::machine::{self, tls::OFFSET_BIAS};
use std::ffi::{CStr, CString, c_int, c_void};
use std::io::Write as _;
use std::os::fd::AsRawFd as _;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The variable that the process calls `name`, with its distance; `None` when there is none or it cannot have one.
pub(crate) fn ask(name: &CStr) -> Option<ThreadLocal> {
    let question = Question { name: name.to_bytes_with_nul(), storage: None };
    let Loaded { handle, words: [module, offset, distance], .. } = question.load("")?;
    // SAFETY: open, and nothing of it is in use.
    unsafe { libc::dlclose(handle) };
    (module != 0).then_some(ThreadLocal { module, offset, distance: Some(distance as i64) })
}

/// Static storage that this process has from now on.
pub(super) struct Module {
    pub(super) place: ThreadLocal,
    /// Address of what it begins with in new threads, which is writable.
    pub(super) image: u64,
}

/// `size` bytes that begin with `content` in every thread; `None` when the loader has not so many left.
pub(super) fn take(size: u64, align: u64, content: &[u8]) -> Option<Module> {
    static TAKEN: AtomicUsize = AtomicUsize::new(0);
    // The loader knows an open module by its path, and that of a closed file's number is soon another's: each has one of its own.
    let dots = "./".repeat(TAKEN.fetch_add(1, Ordering::Relaxed) + 1);
    let loaded = Question { name: b"\0", storage: Some(Segment { size, align, content }) }.load(&dots)?;
    let [module, offset, distance] = loaded.words;
    let place = ThreadLocal { module, offset, distance: Some(distance as i64) };
    Some(Module { place, image: loaded.base + loaded.image })
}

/// What the module in memory asks for: a variable of the process, or one that it defines.
struct Question<'a> {
    /// Ends in a zero byte.
    name: &'a [u8],
    storage: Option<Segment<'a>>,
}

/// `PT_TLS` of the module.
struct Segment<'a> {
    size: u64,
    align: u64,
    content: &'a [u8],
}

/// The module, and what the loader has written into its words: module, offset, distance.
struct Loaded {
    handle: *mut c_void,
    base: u64,
    /// Offset of the storage's content.
    image: u64,
    words: [u64; 3],
}

const EHDR: u64 = 64;
const PHDR: u64 = 56;
const SYM: u64 = 24;
const RELA: u64 = 24;
const DYN: u64 = 16;
const DYNAMIC: u64 = EHDR + 4 * PHDR;
const SYMBOLS: u64 = DYNAMIC + 8 * DYN;
const RELOCATIONS: u64 = SYMBOLS + 2 * SYM;
const WORDS: u64 = RELOCATIONS + 3 * RELA;
const STRINGS: u64 = WORDS + 3 * 8;

impl Question<'_> {
    /// Where the storage's content is.
    fn image(&self) -> u64 {
        let end = STRINGS + 1 + self.name.len() as u64;
        end.next_multiple_of(self.storage.as_ref().map_or(8, |storage| storage.align))
    }

    fn size(&self) -> u64 {
        self.image() + self.storage.as_ref().map_or(0, |storage| storage.size)
    }

    fn load(&self, dots: &str) -> Option<Loaded> {
        unsafe extern "C-unwind" {
            fn dlinfo(handle: *mut c_void, request: c_int, info: *mut c_void) -> c_int;
        }
        const RTLD_DI_LINKMAP: c_int = 2;
        let file = crate::sys::file_in_memory(c"tls-storage").ok()?;
        let mut file = std::fs::File::from(file);
        file.write_all(&self.bytes()).ok()?;
        file.set_len(self.size()).ok()?;
        let path = CString::new(format!("/proc/self/fd/{dots}{}", file.as_raw_fd())).ok()?;
        // SAFETY: the module has no code: nothing runs.
        let handle = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
        if handle.is_null() {
            // Its text would be taken for that of somebody else's failure.
            let _ = crate::native::system_error();
            return None;
        }
        let mut map: *const u64 = std::ptr::null();
        // SAFETY: the handle is open, and the result is a pointer to `struct link_map`, which begins with the load address.
        unsafe {
            if dlinfo(handle, RTLD_DI_LINKMAP, (&raw mut map).cast()) != 0 || map.is_null() {
                libc::dlclose(handle);
                return None;
            }
            let base = *map;
            let words: *const [u64; 3] = std::ptr::with_exposed_provenance((base + WORDS) as usize);
            let [module, offset, distance] = *words;
            let words = [module, offset.wrapping_add(OFFSET_BIAS), distance];
            Some(Loaded { handle, base, image: self.image(), words })
        }
    }

    /// A shared library (gABI, "Dynamic Linking") with three relocations of one symbol; what it ends with is zero.
    fn bytes(&self) -> Vec<u8> {
        let half = |out: &mut Vec<u8>, values: &[u16]| values.iter().for_each(|v| out.extend(v.to_le_bytes()));
        let word = |out: &mut Vec<u8>, values: &[u32]| values.iter().for_each(|v| out.extend(v.to_le_bytes()));
        let xword = |out: &mut Vec<u8>, values: &[u64]| values.iter().for_each(|v| out.extend(v.to_le_bytes()));
        let mut out: Vec<u8> = Vec::new();
        // Elf64_Ehdr: 64 bits, little-endian, ET_DYN.
        out.extend([0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        half(&mut out, &[3, machine::ELF_MACHINE]);
        word(&mut out, &[1]);
        xword(&mut out, &[0, EHDR, 0]);
        word(&mut out, &[machine::ELF_FLAGS]);
        half(&mut out, &[EHDR as u16, PHDR as u16, if self.storage.is_some() { 4 } else { 3 }, 0, 0, 0]);
        // PT_LOAD of everything, readable and writable; PT_DYNAMIC; PT_GNU_STACK, without which the loader makes every stack executable; PT_TLS.
        let mut header = |kind: u32, flags: u32, offset: u64, size: u64, align: u64| {
            word(&mut out, &[kind, flags]);
            xword(&mut out, &[offset, offset, offset, size, size, align]);
        };
        header(1, 6, 0, self.size(), crate::sys::page_size());
        header(2, 6, DYNAMIC, 8 * DYN, 8);
        header(0x6474_e551, 6, 0, 0, 16);
        let none = Segment { size: 0, align: 1, content: &[] };
        let storage = self.storage.as_ref().unwrap_or(&none);
        header(7, 4, self.image(), storage.size, storage.align);
        // DT_STRTAB, DT_SYMTAB, DT_STRSZ, DT_SYMENT, DT_RELA, DT_RELASZ, DT_RELAENT, DT_NULL.
        let strings_size = 1 + self.name.len() as u64;
        for (tag, value) in [
            (5, STRINGS),
            (6, SYMBOLS),
            (10, strings_size),
            (11, SYM),
            (7, RELOCATIONS),
            (8, 3 * RELA),
            (9, RELA),
            (0, 0),
        ] {
            xword(&mut out, &[tag, value]);
        }
        // The null symbol, which in a relocation means the module's own storage, and the name: STB_WEAK, STT_TLS, undefined.
        out.extend([0; SYM as usize]);
        word(&mut out, &[1]);
        out.extend([2 << 4 | 6, 0, 0, 0]);
        xword(&mut out, &[0, 0]);
        let symbol: u64 = if self.storage.is_some() { 0 } else { 1 };
        for (kind, offset) in machine::dynamic::MODULE_OFFSET_DISTANCE.into_iter().zip([0, 8, 16]) {
            xword(&mut out, &[WORDS + offset, symbol << 32 | u64::from(kind), 0]);
        }
        xword(&mut out, &[0, 0, 0]);
        out.push(0);
        out.extend(self.name);
        out.resize(self.image() as usize, 0);
        out.extend(storage.content);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::ask;
    use crate::memory::Prot;

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
                let pair = variable.pair();
                // SAFETY: the loader's own numbers.
                (here(), unsafe { super::super::get_address(pair.as_ptr()) })
            };
            let (by_distance, by_module) = probe();
            assert_eq!(by_distance, by_module);
            let (by_distance, by_module) = std::thread::spawn(probe).join().expect("no panic");
            assert_eq!(by_distance, by_module);
        }
    }

    #[test]
    fn stacks_stay_as_they_are() {
        ask(c"__libc_single_threaded_no_such_variable");
        let mappings = crate::sys::mappings().expect("readable");
        let both = Prot::WRITE | Prot::EXEC;
        assert!(mappings.iter().any(|mapping| mapping.prot.contains(Prot::WRITE)));
        assert!(!mappings.iter().any(|mapping| mapping.prot.contains(both)), "{mappings:?}");
    }

    fn libloading_of_the_cpp_runtime() -> bool {
        crate::native::Native::default().open("libstdc++.so.6").is_ok()
    }
}
