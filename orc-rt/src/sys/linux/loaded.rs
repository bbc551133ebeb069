//! The shared objects of this process as the dynamic loader sees them: where they lie, what they export, which of their words it filled
//! in with the address of a symbol. And how to change such words.
//!
//! `unsafe` because tables are read where an object says that they are (each read is checked to lie in the object), and because words
//! and protections of memory that is not ours are changed: the callers say why that is right.
#![allow(unsafe_code)]

use crate::machine::dynamic as kind;
use crate::memory::Prot;
use crate::native::system_symbol;
use rustix::mm::MprotectFlags;
use smallvec::SmallVec;
use std::ffi::{CStr, CString, c_int, c_void};
use std::io;
use std::ops::Range;
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

/// Tags of the dynamic section (gABI, "Dynamic Section").
mod tag {
    pub(super) const END: i64 = 0;
    pub(super) const PLT_RELA_SIZE: i64 = 2;
    pub(super) const HASH: i64 = 4;
    pub(super) const STRINGS: i64 = 5;
    pub(super) const SYMBOLS: i64 = 6;
    pub(super) const RELA: i64 = 7;
    pub(super) const RELA_SIZE: i64 = 8;
    pub(super) const SYMBOLIC: i64 = 16;
    pub(super) const PLT_RELA: i64 = 23;
    pub(super) const FLAGS: i64 = 30;
    pub(super) const GNU_HASH: i64 = 0x6fff_fef5;
    /// How many relocations at the front of [`RELA`]'s table name no symbol, most of them in a program (LSB, "Additional Special Sections"; `DT_RELACOUNT`).
    pub(super) const RELATIVE_COUNT: i64 = 0x6fff_fff9;
}
/// In [`tag::FLAGS`]: the object binds its own references to itself.
const FLAG_SYMBOLIC: u64 = 2;

const SYMBOL_SIZE: u64 = size_of::<libc::Elf64_Sym>() as u64;
const RELA_SIZE: u64 = size_of::<Rela>() as u64;

/// An entry of the dynamic section.
#[derive(Clone, Copy)]
#[repr(C)]
struct Dynamic {
    tag: i64,
    value: u64,
}

/// A relocation with addend.
#[derive(Clone, Copy)]
#[repr(C)]
struct Rela {
    place: u64,
    info: u64,
    addend: i64,
}

/// A loaded object, while the loader's list is locked.
#[derive(Debug)]
pub(crate) struct Object {
    /// Its path; empty for the program itself.
    pub(crate) name: CString,
    /// The executable, which refers to what it defines directly.
    pub(crate) program: bool,
    /// It was linked to prefer its own definitions (`-Bsymbolic`).
    pub(crate) symbolic: bool,
    /// What it adds to the addresses in its tables.
    base: u64,
    /// Readable segments.
    segments: SmallVec<[Range<u64>; 5]>,
    symbols: u64,
    strings: u64,
    hash: u64,
    gnu_hash: u64,
    /// But for those that name no symbol, as far as they stand at the front.
    relocations: [Range<u64>; 2],
}

/// A word that holds a symbol's address plus an addend.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Filled {
    /// Where the word lies.
    pub(crate) place: u64,
    /// The symbol's number in its object.
    pub(crate) symbol: u32,
    /// What was added.
    pub(crate) addend: i64,
}

/// A slot by which an object calls a function.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FunctionSlot {
    /// Where it lies.
    pub(crate) place: u64,
    /// The object defines a function of the name itself.
    pub(crate) defined_here: bool,
}

/// An entry of a dynamic symbol table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry {
    /// The address of the symbol that the entry defines; 0 when it defines none.
    pub(crate) address: u64,
    /// Where the word lies that says so.
    pub(crate) value_at: u64,
    /// That word: the address less what the object adds to it.
    pub(crate) value: u64,
    /// Its type is that of a variable.
    pub(crate) data: bool,
    /// Its own object refers to it directly.
    pub(crate) protected: bool,
}

/// What dl_iterate_phdr(3) calls; it may throw.
pub(crate) type Callback = unsafe extern "C-unwind" fn(*mut libc::dl_phdr_info, usize, *mut c_void) -> c_int;

/// The C library's dl_iterate_phdr(3), wherever the slot for it leads.
///
/// # Safety
/// As dl_iterate_phdr(3).
pub(crate) unsafe fn iterate(callback: Callback, data: *mut c_void) -> c_int {
    type Iterate = unsafe extern "C-unwind" fn(Callback, *mut c_void) -> c_int;
    static FOUND: OnceLock<u64> = OnceLock::new();
    // A program that is linked statically has no symbol table, and no slots either.
    let linked = || libc::dl_iterate_phdr as *const () as u64;
    let address = *FOUND.get_or_init(|| system_symbol(c"dl_iterate_phdr").unwrap_or_else(linked));
    // SAFETY: the C library documents the name with this type.
    let function = unsafe { std::mem::transmute::<usize, Iterate>(address as usize) };
    // SAFETY: the caller's promise.
    unsafe { function(callback, data) }
}

/// Whether a user-mode emulator runs this process: such have no get_robust_list(2), which Linux always has. Their lists of mappings and threads are not quite a system's.
pub(crate) fn is_emulated() -> bool {
    static EMULATED: OnceLock<bool> = OnceLock::new();
    *EMULATED.get_or_init(|| {
        let (mut head, mut size) = (0_u64, 0_usize);
        // SAFETY: both results are written to our own variables.
        let result = unsafe { libc::syscall(libc::SYS_get_robust_list, 0, &raw mut head, &raw mut size) };
        result != 0 && io::Error::last_os_error().raw_os_error() == Some(libc::ENOSYS)
    })
}

/// The segments of all objects that hold no code, in whole pages.
pub(crate) fn without_code() -> Vec<Range<u64>> {
    /// # Safety
    /// Called by dl_iterate_phdr(3) with `data` pointing to a `Vec` of ranges.
    unsafe extern "C-unwind" fn note(info: *mut libc::dl_phdr_info, _: usize, data: *mut c_void) -> c_int {
        // SAFETY: the loader passes a valid description, and `without_code` its vector.
        let (info, list) = unsafe { (&*info, &mut *data.cast::<Vec<Range<u64>>>()) };
        if info.dlpi_phdr.is_null() {
            return 0;
        }
        // SAFETY: the loader says how many headers there are.
        let headers = unsafe { std::slice::from_raw_parts(info.dlpi_phdr, usize::from(info.dlpi_phnum)) };
        let page = super::page_size();
        for header in headers.iter().filter(|header| header.p_type == libc::PT_LOAD && header.p_flags & libc::PF_X == 0)
        {
            let start = info.dlpi_addr.wrapping_add(header.p_vaddr);
            list.push(start & !(page - 1)..start.saturating_add(header.p_memsz).next_multiple_of(page));
        }
        0
    }
    let mut list: Vec<Range<u64>> = Vec::new();
    // SAFETY: the callback gets the vector, which outlives the call.
    unsafe { iterate(note, (&raw mut list).cast()) };
    list
}

/// How many objects the loader has ever loaded.
pub(crate) fn ever_loaded() -> u64 {
    /// # Safety
    /// Called by dl_iterate_phdr(3) with `data` pointing to a `u64`.
    unsafe extern "C-unwind" fn note(info: *mut libc::dl_phdr_info, size: usize, data: *mut c_void) -> c_int {
        if size >= size_of::<libc::dl_phdr_info>() {
            // SAFETY: the loader passes a valid description, of this size, and `ever_loaded` its number.
            unsafe { data.cast::<u64>().write((*info).dlpi_adds) };
        }
        1
    }
    let mut count = 0_u64;
    // SAFETY: the callback gets the number, which outlives the call; it stops at the first object.
    unsafe { iterate(note, (&raw mut count).cast()) };
    count
}

/// Runs `body` on all objects, in load order (the program first), with the loader's list locked: none comes or goes meanwhile.
pub(crate) fn with_all<R>(body: impl FnOnce(&[Object]) -> R) -> Option<R> {
    struct Call<F, R>(Option<F>, Option<R>);
    /// # Safety
    /// `data` points to a `Call` of the same types.
    unsafe extern "C-unwind" fn run<R, F: FnOnce(&[Object]) -> R>(
        _: *mut libc::dl_phdr_info,
        _: usize,
        data: *mut c_void,
    ) -> c_int {
        // SAFETY: `with_all` passes its own call, which nobody else uses meanwhile.
        let call = unsafe { &mut *data.cast::<Call<F, R>>() };
        let mut objects: Vec<Object> = Vec::new();
        // SAFETY: the callback gets the vector, which outlives the call. The lock of the list may be taken again by its owner.
        unsafe { iterate(collect, (&raw mut objects).cast()) };
        call.1 = call.0.take().map(|body| body(&objects));
        1
    }
    fn callback<R, F: FnOnce(&[Object]) -> R>(_: &Call<F, R>) -> Callback {
        run::<R, F>
    }
    let mut call = Call(Some(body), None);
    let run = callback(&call);
    // SAFETY: `run` is for this type of call, which outlives the iteration; it stops the iteration at the first object.
    unsafe { iterate(run, (&raw mut call).cast()) };
    call.1
}

/// # Safety
/// Called by dl_iterate_phdr(3) with `data` pointing to a `Vec<Object>`.
unsafe extern "C-unwind" fn collect(info: *mut libc::dl_phdr_info, _size: usize, data: *mut c_void) -> c_int {
    // SAFETY: the loader passes a valid description, and `with_all` its vector.
    let (info, list) = unsafe { (&*info, &mut *data.cast::<Vec<Object>>()) };
    if info.dlpi_phdr.is_null() {
        return 0;
    }
    // SAFETY: the loader says how many headers there are.
    let headers = unsafe { std::slice::from_raw_parts(info.dlpi_phdr, usize::from(info.dlpi_phnum)) };
    let name = if info.dlpi_name.is_null() {
        CString::default()
    } else {
        // SAFETY: not null, hence a string of the loader.
        unsafe { CStr::from_ptr(info.dlpi_name) }.to_owned()
    };
    let range = |header: &libc::Elf64_Phdr| {
        let start = info.dlpi_addr.wrapping_add(header.p_vaddr);
        start..start.saturating_add(header.p_memsz)
    };
    let readable = |header: &&libc::Elf64_Phdr| header.p_type == libc::PT_LOAD && header.p_flags & libc::PF_R != 0;
    let mut object = Object {
        name,
        program: list.is_empty(),
        symbolic: false,
        base: info.dlpi_addr,
        segments: headers.iter().filter(readable).map(range).collect(),
        symbols: 0,
        strings: 0,
        hash: 0,
        gnu_hash: 0,
        relocations: [0..0, 0..0],
    };
    if let Some(dynamic) = headers.iter().find(|header| header.p_type == libc::PT_DYNAMIC) {
        object.read_dynamic(range(dynamic));
    }
    list.push(object);
    0
}

impl Object {
    fn read_dynamic(&mut self, range: Range<u64>) {
        let mut sizes = [0; 2];
        let mut starts = [0; 2];
        let mut relative = 0;
        for at in range.step_by(size_of::<Dynamic>()) {
            let Some(Dynamic { tag, value }) = self.read::<Dynamic>(at) else { break };
            match tag {
                tag::END => break,
                tag::SYMBOLS => self.symbols = self.pointer(value),
                tag::STRINGS => self.strings = self.pointer(value),
                tag::HASH => self.hash = self.pointer(value),
                tag::GNU_HASH => self.gnu_hash = self.pointer(value),
                tag::RELA => starts[0] = self.pointer(value),
                tag::RELA_SIZE => sizes[0] = value,
                tag::PLT_RELA => starts[1] = self.pointer(value),
                tag::PLT_RELA_SIZE => sizes[1] = value,
                tag::RELATIVE_COUNT => relative = value,
                tag::SYMBOLIC => self.symbolic = true,
                tag::FLAGS => self.symbolic |= value & FLAG_SYMBOLIC != 0,
                _ => {}
            }
        }
        for (index, range) in self.relocations.iter_mut().enumerate() {
            *range = starts[index]..starts[index].saturating_add(sizes[index]);
        }
        let [table, _] = &mut self.relocations;
        table.start = table.start.saturating_add(relative.saturating_mul(RELA_SIZE)).min(table.end);
    }

    /// Some loaders turn the pointers of the dynamic section into addresses in place, others leave them as they are in the file.
    fn pointer(&self, value: u64) -> u64 {
        if self.contains(&(value..value + 1)) { value } else { self.base.wrapping_add(value) }
    }

    /// Whether the object has all of `range`.
    pub(crate) fn contains(&self, range: &Range<u64>) -> bool {
        self.segments.iter().any(|segment| segment.start <= range.start && range.end <= segment.end)
    }

    /// Its readable segments.
    pub(crate) fn segments(&self) -> &[Range<u64>] {
        &self.segments
    }

    fn read<T: Copy>(&self, address: u64) -> Option<T> {
        let end = address.checked_add(size_of::<T>() as u64)?;
        // SAFETY: the bytes lie in a readable segment, which stays while the list is locked; every type that is read here is made
        // of integers.
        self.contains(&(address..end)).then(|| unsafe { ptr::read_unaligned(at::<T>(address)) })
    }

    fn relocations(&self) -> impl Iterator<Item = Rela> + '_ {
        let ranges = self.relocations.iter();
        ranges.flat_map(|range| range.clone().step_by(RELA_SIZE as usize)).map_while(|at| self.read::<Rela>(at))
    }

    /// Words in which the loader stored the address of a symbol.
    pub(crate) fn filled(&self) -> impl Iterator<Item = Filled> + '_ {
        self.relocations().filter_map(|rela| {
            let symbol = (rela.info >> 32) as u32;
            // One machine has one number for both, with an addend.
            let addend = match rela.info as u32 {
                number if number == kind::POINTER => rela.addend,
                number if number == kind::SLOT => 0,
                _ => return None,
            };
            let place = self.base.wrapping_add(rela.place);
            let here = symbol != 0 && self.contains(&(place..place.checked_add(8)?));
            here.then_some(Filled { place, symbol, addend })
        })
    }

    /// The slots through which it calls functions of these names, of whatever version, each with the number of its name.
    pub(crate) fn function_slots<'a>(
        &'a self,
        names: &'a [&'a CStr],
    ) -> impl Iterator<Item = (usize, FunctionSlot)> + 'a {
        self.relocations().filter_map(move |rela| {
            let symbol = (rela.info >> 32) as u32;
            if symbol == 0 || !matches!(rela.info as u32, kind::SLOT | kind::FUNCTION_SLOT) {
                return None;
            }
            let at = self.symbols.checked_add(u64::from(symbol) * SYMBOL_SIZE)?;
            let strings_at = self.strings.checked_add(u64::from(self.read::<libc::Elf64_Sym>(at)?.st_name))?;
            // Few names begin as ours do.
            let first = self.read::<u8>(strings_at)?;
            let is_named = |name: &&CStr| {
                let name = name.to_bytes_with_nul();
                name[0] == first && (strings_at..).zip(name).all(|(at, byte)| self.read::<u8>(at) == Some(*byte))
            };
            let number = names.iter().position(is_named)?;
            let place = self.base.wrapping_add(rela.place);
            let here = self.contains(&(place..place.checked_add(8)?));
            let defined_here = self.entry(symbol).is_some_and(|entry| entry.address != 0);
            here.then_some((number, FunctionSlot { place, defined_here }))
        })
    }

    /// The entry of its dynamic symbol table with this number.
    pub(crate) fn entry(&self, number: u32) -> Option<Entry> {
        const VALUE: u64 = std::mem::offset_of!(libc::Elf64_Sym, st_value) as u64;
        /// `SHN_UNDEF` and `SHN_ABS`
        const NOWHERE: [u16; 2] = [0, 0xfff1];
        let at = self.symbols.checked_add(u64::from(number) * SYMBOL_SIZE)?;
        let symbol = self.read::<libc::Elf64_Sym>(at)?;
        let defined = !NOWHERE.contains(&symbol.st_shndx);
        Some(Entry {
            address: if defined { self.base.wrapping_add(symbol.st_value) } else { 0 },
            value_at: at + VALUE,
            value: symbol.st_value,
            // STT_OBJECT, STT_COMMON
            data: matches!(symbol.st_info & 0xf, 1 | 5),
            // STV_PROTECTED
            protected: symbol.st_other & 3 == 3,
        })
    }

    /// Number of entries of its dynamic symbol table. Only its hash tables know (gABI, "Hash Table").
    pub(crate) fn entry_count(&self) -> u32 {
        if let Some(chains) = (self.hash != 0).then(|| self.read::<u32>(self.hash + 4)).flatten() {
            return chains;
        }
        self.gnu_entry_count().unwrap_or(0)
    }

    /// The GNU table: bucket count, first hashed symbol, words of the filter, shift; the filter; buckets; chains, whose last word is odd.
    fn gnu_entry_count(&self) -> Option<u32> {
        if self.gnu_hash == 0 {
            return None;
        }
        let word = |index: u64| self.read::<u32>(self.gnu_hash + 4 * index);
        let (buckets, first, filter) = (u64::from(word(0)?), word(1)?, u64::from(word(2)?));
        let at_buckets = 4 + 2 * filter;
        let mut last = 0;
        for bucket in 0..buckets {
            last = last.max(word(at_buckets + bucket)?);
        }
        if last < first {
            return Some(first);
        }
        let chains = at_buckets + buckets;
        while word(chains + u64::from(last - first))? & 1 == 0 {
            last = last.checked_add(1)?;
        }
        last.checked_add(1)
    }

    /// What an entry has to hold so that the loader computes `address` from it.
    pub(crate) fn value_for(&self, address: u64) -> u64 {
        address.wrapping_sub(self.base)
    }
}

fn at<T>(address: u64) -> *mut T {
    ptr::with_exposed_provenance_mut(address as usize)
}

/// Reads the word at `address`, whole if it is aligned.
///
/// # Safety
/// It is readable.
pub(crate) unsafe fn load(address: u64) -> u64 {
    if address.is_multiple_of(8) {
        // SAFETY: readable by the caller's promise, aligned as checked; whoever else writes it does so in one piece as well.
        unsafe { AtomicU64::from_ptr(at(address)) }.load(Ordering::Acquire)
    } else {
        // SAFETY: the caller's promise.
        unsafe { at::<u64>(address).read_unaligned() }
    }
}

/// Replaces the word at `address` if it is still `old`; in one step if it is aligned.
///
/// # Safety
/// It is writable, and whoever reads it is as content with the new word.
pub(crate) unsafe fn exchange(address: u64, old: u64, new: u64) -> bool {
    if address.is_multiple_of(8) {
        // SAFETY: writable by the caller's promise, aligned as checked.
        let word = unsafe { AtomicU64::from_ptr(at(address)) };
        return word.compare_exchange(old, new, Ordering::AcqRel, Ordering::Relaxed).is_ok();
    }
    // SAFETY: the caller's promise.
    unsafe {
        let same = at::<u64>(address).read_unaligned() == old;
        if same {
            at::<u64>(address).write_unaligned(new);
        }
        same
    }
}

/// The bytes of `range`, each aligned word in one piece.
///
/// # Safety
/// They are readable.
pub(crate) unsafe fn snapshot(range: Range<u64>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity((range.end - range.start) as usize);
    let mut address = range.start;
    while address < range.end {
        if address.is_multiple_of(8) && range.end - address >= 8 {
            // SAFETY: eight bytes of the range.
            bytes.extend_from_slice(&unsafe { load(address) }.to_ne_bytes());
            address += 8;
        } else {
            // SAFETY: one byte of the range.
            bytes.push(unsafe { AtomicU8::from_ptr(at(address)) }.load(Ordering::Relaxed));
            address += 1;
        }
    }
    bytes
}

/// Writes `bytes` at `address`.
///
/// # Safety
/// The bytes there are writable and nobody else uses them.
pub(crate) unsafe fn fill(address: u64, bytes: &[u8]) {
    // SAFETY: the caller's promise; a vector of ours does not overlap them.
    unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), at(address), bytes.len()) };
}

/// Sets what the pages of `range` may do.
///
/// # Safety
/// Nobody uses them in a way that `prot` forbids.
pub(crate) unsafe fn protect(range: Range<u64>, prot: Prot) -> io::Result<()> {
    assert!(!prot.contains(Prot::WRITE | Prot::EXEC), "no page is made writable and executable");
    let mut flags = MprotectFlags::empty();
    flags.set(MprotectFlags::READ, prot.contains(Prot::READ));
    flags.set(MprotectFlags::WRITE, prot.contains(Prot::WRITE));
    flags.set(MprotectFlags::EXEC, prot.contains(Prot::EXEC));
    // SAFETY: the caller's promise.
    unsafe { rustix::mm::mprotect(at(range.start), (range.end - range.start) as usize, flags)? };
    Ok(())
}

/// Keeps the object `name` loaded until the process ends.
pub(crate) fn pin(name: &CStr) {
    // SAFETY: nothing is loaded or run (`RTLD_NOLOAD`). A failure means that it is not there any more, and then neither is its data.
    let _ = unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_LAZY | libc::RTLD_NOLOAD | libc::RTLD_NODELETE) };
}
