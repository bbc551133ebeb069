//! Modules of the system that have thread-local storage: the executable and its shared libraries.
//!
//! You give the address of a variable in the calling thread; you get module, offset, and whether its distance from the thread pointer is
//! the same in all threads. The dynamic loader does not tell the last, so a second thread is asked, once for each module.
//!
//! `unsafe` because dl_iterate_phdr(3) speaks in pointers.
#![allow(unsafe_code)]

use super::ThreadLocal;
use crate::machine::tls as machine;
use crate::sync::leaf::Mutex;
use crate::sys::loaded;
use std::collections::BTreeMap;
use std::ffi::{c_int, c_void};
use std::ops::Range;

unsafe extern "C" {
    /// Finds a variable in the calling thread: the argument points to module and offset.
    pub(crate) fn __tls_get_addr(pair: *const u64) -> *mut c_void;
}

/// # Safety
/// `pair` points to a module of the system and an offset in it.
pub(super) unsafe fn get_address(pair: *const u64) -> u64 {
    // SAFETY: the caller's promise.
    unsafe { __tls_get_addr(pair) as u64 }
}

/// One module, as the dynamic loader describes it to the calling thread.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Module {
    pub(super) number: u64,
    /// The calling thread's block.
    pub(super) block: u64,
    pub(super) size: u64,
    /// What new threads' blocks begin with: address and size.
    pub(super) image: u64,
    pub(super) image_size: u64,
    /// Relocated first and made read-only then: address and size.
    pub(super) relro: (u64, u64),
}

/// The variable at `address` of the calling thread's storage; `None` when no module has it.
pub(crate) fn locate(address: u64) -> Option<ThreadLocal> {
    let module = containing(address)?;
    let offset = address - module.block;
    let distance = distance_of_block(&module).map(|distance| distance.wrapping_add_unsigned(offset));
    Some(ThreadLocal { module: module.number, offset, distance })
}

/// The module whose block in this thread holds `address`.
pub(super) fn containing(address: u64) -> Option<Module> {
    let mut search = Search { address, found: None };
    // SAFETY: the callback gets the pointer to `search`, which outlives the call, and is called on this thread only.
    unsafe { loaded::iterate(visit, (&raw mut search).cast()) };
    search.found
}

struct Search {
    address: u64,
    found: Option<Module>,
}

/// # Safety
/// Called by dl_iterate_phdr(3) with `data` pointing to a `Search`.
unsafe extern "C-unwind" fn visit(info: *mut libc::dl_phdr_info, size: usize, data: *mut c_void) -> c_int {
    // SAFETY: the loader passes a valid description, and `containing` its search.
    let (info, search) = unsafe { (&*info, &mut *data.cast::<Search>()) };
    if size < size_of::<libc::dl_phdr_info>() || info.dlpi_tls_modid == 0 || info.dlpi_tls_data.is_null() {
        return 0;
    }
    // SAFETY: the loader says how many headers there are.
    let headers = unsafe { std::slice::from_raw_parts(info.dlpi_phdr, usize::from(info.dlpi_phnum)) };
    let mut module =
        Module { number: info.dlpi_tls_modid as u64, block: info.dlpi_tls_data as u64, ..Module::default() };
    for header in headers {
        let start = info.dlpi_addr.wrapping_add(header.p_vaddr);
        match header.p_type {
            libc::PT_TLS => {
                (module.size, module.image, module.image_size) = (header.p_memsz, start, header.p_filesz);
            }
            libc::PT_GNU_RELRO => module.relro = (start, header.p_memsz),
            _ => {}
        }
    }
    if search.address.wrapping_sub(module.block) < module.size {
        search.found = Some(module);
        return 1;
    }
    0
}

/// The distance of the first module's block from the thread pointer: it is there before any thread, so it is the same in all.
pub(super) fn first_block() -> i64 {
    let pair = ThreadLocal { module: 1, offset: 0, distance: None }.pair();
    // SAFETY: there is a first module, since this program has thread-local variables.
    let block = unsafe { get_address(pair.as_ptr()) };
    block.wrapping_sub(machine::thread_pointer()) as i64
}

/// The distance of a module's block from the thread pointer, if it is the same in all threads.
pub(super) fn distance_of_block(module: &Module) -> Option<i64> {
    /// By number and image, since numbers are used again.
    type Distances = BTreeMap<(u64, u64), Option<i64>>;
    static KNOWN: Mutex<Distances> = Mutex::new(Distances::new());
    let key = (module.number, module.image);
    if let Some(known) = KNOWN.lock().get(&key) {
        return *known;
    }
    let here = module.block.wrapping_sub(machine::thread_pointer()) as i64;
    // The executable's own, which is always the first, is there before any thread.
    let is_static = module.number == 1 || in_another_thread(module.number) == Some(here);
    let distance = is_static.then_some(here);
    KNOWN.lock().insert(key, distance);
    distance
}

/// The distance in a fresh thread, if the block is part of the thread's own memory, where only static storage is: the stack, which glibc
/// and musl allocate together with it.
fn in_another_thread(number: u64) -> Option<i64> {
    let ask = move || {
        let pair = ThreadLocal { module: number, offset: 0, distance: None }.pair();
        // SAFETY: a module that the loader has just named.
        let block = unsafe { get_address(pair.as_ptr()) };
        let thread_pointer = machine::thread_pointer();
        let stack = stack()?;
        let storage = if machine::STORAGE_IS_ABOVE { thread_pointer..stack.end } else { stack.start..thread_pointer };
        storage.contains(&block).then(|| block.wrapping_sub(thread_pointer) as i64)
    };
    std::thread::Builder::new().name("tls-probe".into()).spawn(ask).ok()?.join().ok()?
}

/// The calling thread's stack.
fn stack() -> Option<Range<u64>> {
    // SAFETY: all zero is memory enough for pthread_getattr_np(3) to write to.
    let mut attributes: libc::pthread_attr_t = unsafe { std::mem::zeroed() };
    // SAFETY: the calling thread, and attributes of our own.
    if unsafe { libc::pthread_getattr_np(libc::pthread_self(), &raw mut attributes) } != 0 {
        return None;
    }
    let (mut bottom, mut size) = (std::ptr::null_mut(), 0);
    // SAFETY: the attributes were just filled in.
    let got = unsafe { libc::pthread_attr_getstack(&raw const attributes, &raw mut bottom, &raw mut size) };
    // SAFETY: as above; they are not used again.
    unsafe { libc::pthread_attr_destroy(&raw mut attributes) };
    (got == 0).then_some(bottom as u64..bottom as u64 + size as u64)
}

#[cfg(test)]
mod tests {
    use super::locate;
    use std::cell::Cell;

    thread_local! { static VARIABLE: Cell<u32> = const { Cell::new(7) } }

    #[test]
    fn a_variable_of_this_program_is_static_and_the_heap_is_no_variable() {
        let address = VARIABLE.with(|variable| std::ptr::from_ref(variable) as u64);
        let variable = locate(address).expect("a module has it");
        assert!(
            variable.distance.is_some_and(|distance| (distance >= 0) == super::machine::STORAGE_IS_ABOVE),
            "{variable}"
        );
        let elsewhere = std::thread::spawn(move || {
            let address = VARIABLE.with(|variable| std::ptr::from_ref(variable) as u64);
            // SAFETY: the variable that was just found.
            (address, unsafe { super::super::address_here(variable) })
        });
        let (expected, found) = elsewhere.join().expect("no panic");
        assert_eq!(expected, found);
        assert_eq!(locate(std::ptr::from_ref(&*Box::new(1_u64)) as u64), None);
    }
}
