//! The process's unwinder asks us first.
//!
//! libgcc finds the record of a frame with a function of its own, `_Unwind_Find_FDE`, which it exports, and hence calls through a slot of its global offset table,
//! as everybody does who calls it. [`install`] has these slots lead to a function of ours; code that is none of ours is passed on to where they led before. Whether an
//! unwinder asks us is not concluded but tried: [`is_asked`].
//!
//! Why? What libgcc offers for linked code, `__register_frame`, keeps a list of tables: before GCC 13 under one lock for all threads, sorted by the first throw that
//! meets it, walked by every throw and every deregistration.
//!
//! Copies of libgcc that were linked statically into shared libraries that are there when this is installed ask the C library's `_dl_find_object` instead, which is led to us in the same way.
//!
//! Not for unwinders that ask nobody: LLVM's libunwind, and those of other link-map namespaces.
//!
//! `unsafe` because words of shared libraries are changed, and because the function is called from C, with C's pointers.
#![allow(unsafe_code)]

use super::index::Index;
use crate::memory::Prot;
use crate::native::system_symbol;
use crate::slots::{self, Lead};
use crate::sync::leaf::Mutex;
use crate::sys;
use crate::sys::loaded::{self, Object};
use smallvec::SmallVec;
use std::ffi::{CString, c_int, c_void};
use std::sync::atomic::{AtomicU64, Ordering};

/// Every table of this process.
pub(super) static INDEX: Index = Index::new();

/// `struct dwarf_eh_bases` (libgcc, `unwind-dw2-fde.h`): what addresses in the table may be relative to, and where the function begins.
#[repr(C)]
struct Bases {
    text: u64,
    data: u64,
    function: u64,
}

type FindFde = unsafe extern "C" fn(*const c_void, *mut Bases) -> *const c_void;

const FIND: &std::ffi::CStr = c"_Unwind_Find_FDE";

/// Where the slots led before.
static ORIGINAL: AtomicU64 = AtomicU64::new(0);

/// The C library's own `_dl_find_object`, once it is known.
static ORIGINAL_OBJECT: AtomicU64 = AtomicU64::new(0);

/// The slot by which the unwinder asks, once it leads to us.
static OWN_SLOT: AtomicU64 = AtomicU64::new(0);

/// What the slots lead to. Called by unwinders, also in signal handlers: it takes no lock and allocates nothing.
///
/// # Safety
/// As `_Unwind_Find_FDE`: `bases` can be written to.
unsafe extern "C" fn find_fde(pc: *const c_void, bases: *mut Bases) -> *const c_void {
    if let Some(found) = INDEX.find(pc.addr() as u64) {
        // Records of ours are relative to nothing but themselves (`records.rs` reads no others).
        let found_bases = Bases { text: 0, data: 0, function: found.function };
        // SAFETY: the caller's promise.
        unsafe { bases.write(found_bases) };
        return std::ptr::with_exposed_provenance(found.record as usize);
    }
    // No slot leads here yet when executed code is the first to ask.
    let original = Some(ORIGINAL.load(Ordering::Acquire)).filter(|&original| original != 0);
    let Some(original) = original.or_else(|| system_symbol(FIND)) else { return std::ptr::null() };
    // SAFETY: the address of a function of this type: what a slot led to before, or what has this name.
    let original = unsafe { std::mem::transmute::<usize, FindFde>(original as usize) };
    // SAFETY: the caller's promise, passed on.
    unsafe { original(pc, bases) }
}

/// `struct dl_find_object` (glibc 2.35, `dlfcn.h`).
#[repr(C)]
struct FoundObject {
    flags: u64,
    start: u64,
    end: u64,
    link_map: u64,
    eh_frame_header: u64,
    reserved: [u64; 7],
}

type FindObject = unsafe extern "C" fn(*const c_void, *mut FoundObject) -> c_int;

const FIND_OBJECT: &std::ffi::CStr = c"_dl_find_object";

/// `_dl_find_object`, by which an unwinder that is linked into a shared library (`libgcc_eh.a`) finds tables: ours as well. It goes through the whole table of an image then. What executed
/// code gets under that name says more (`names/objects.rs`).
///
/// # Safety
/// As `_dl_find_object`: `result` can be written to.
unsafe extern "C" fn find_object(pc: *const c_void, result: *mut FoundObject) -> c_int {
    if let Some((function, eh_frame_header)) = INDEX.header(pc.addr() as u64) {
        let (start, end) = (function.start, function.end);
        // SAFETY: the caller's promise.
        unsafe { result.write(FoundObject { flags: 0, start, end, link_map: 0, eh_frame_header, reserved: [0; 7] }) };
        return 0;
    }
    const NOT_FOUND: c_int = -1;
    let original = Some(ORIGINAL_OBJECT.load(Ordering::Acquire)).filter(|&original| original != 0);
    let Some(original) = original.or_else(|| system_symbol(FIND_OBJECT)) else { return NOT_FOUND };
    // SAFETY: what has this name in the C library is a function of this type.
    let original = unsafe { std::mem::transmute::<usize, FindObject>(original as usize) };
    // SAFETY: the caller's promise, passed on.
    unsafe { original(pc, result) }
}

/// `_Unwind_Find_FDE` as executed code is to be linked against it, if the process has one: it sees what the unwinder sees.
pub(crate) fn entry_point() -> Option<(&'static str, u64)> {
    system_symbol(FIND)?;
    Some(("_Unwind_Find_FDE", find_fde as *const () as u64))
}

/// Looks whether the unwinder's own slot still leads to us, and mends it if not: one load. A loader that was about to bind it when it was changed writes what it has found afterwards; that
/// can only be once for each thread that was just then the first to unwind in this process.
pub(crate) fn verify() {
    let slot = OWN_SLOT.load(Ordering::Acquire);
    // SAFETY: a slot of the unwinder, which is pinned.
    if slot != 0 && unsafe { loaded::load(slot) } != find_fde as *const () as u64 {
        tracing::debug!("the unwinder's slot was bound by the loader once more");
        install();
    }
}

/// Whether the process's unwinder finds the function that begins at `start` in our index.
pub(super) fn is_asked(start: u64) -> bool {
    enclosing_function(start + 1) == Some(start)
}

/// The unwinder's answer to which function a return address belongs to.
fn enclosing_function(return_address: u64) -> Option<u64> {
    let function = system_symbol(c"_Unwind_FindEnclosingFunction")?;
    // SAFETY: libgcc and libunwind have the name as `void *(void *)`.
    let function = unsafe {
        std::mem::transmute::<usize, unsafe extern "C" fn(*const c_void) -> *const c_void>(function as usize)
    };
    // SAFETY: any address may be asked for.
    let found = unsafe { function(std::ptr::without_provenance(return_address as usize)) };
    (!found.is_null()).then_some(found.addr() as u64)
}

/// Has the slots lead to us; says whether there are any. May be called again: a loader that bound a slot at that moment may have undone it, which
/// [`verify`] mends.
pub(super) fn install() -> bool {
    static INSTALLING: Mutex<()> = Mutex::new(());
    let _one = INSTALLING.lock();
    let Some(definition) = system_symbol(FIND) else { return false };
    let hook = find_fde as *const () as u64;
    // The loader binds a slot when it is first used, unless it has done so before: it is to be bound before we change it.
    enclosing_function(hook + 1);
    let Ok(maps) = sys::mappings() else { return false };
    let changed = loaded::with_all(|objects| {
        let unwinder = objects.iter().find(|object| object.contains(&(definition..definition + 1)))?;
        // SAFETY (of loads below): slots lie in readable segments of objects that are loaded.
        let (_, own) = unwinder.function_slots(&[FIND]).find(|(_, slot)| slot.defined_here)?;
        // SAFETY: see above.
        let leads_to = unsafe { loaded::load(own.place) };
        let original = if leads_to == hook { ORIGINAL.load(Ordering::Acquire) } else { leads_to };
        if !slots::prot_at(&maps, original).is_some_and(|prot| prot.contains(Prot::EXEC)) {
            return None;
        }
        ORIGINAL.store(original, Ordering::Release);
        let mut leads: SmallVec<[Lead; 2]> = SmallVec::new();
        leads.push(Lead { name: FIND, from: original, to: hook, except: None });
        // Libraries that were linked with an unwinder of their own (`-static-libgcc`).
        if let Some(find) = system_symbol(FIND_OBJECT) {
            ORIGINAL_OBJECT.store(find, Ordering::Release);
            let to = find_object as *const () as u64;
            leads.push(Lead { name: FIND_OBJECT, from: find, to, except: Some(definition) });
        }
        // SAFETY: the hooks do for everybody what the originals do, which they call for what is none of ours; they are pinned below.
        let led = unsafe { slots::lead(objects, &leads, &maps) };
        // What leads to us and what we lead to must stay.
        let of_hook = objects.iter().find(|object| object.contains(&(hook..hook + 1)));
        let names = [Some(unwinder), of_hook].into_iter().flatten().filter(|object| !object.program);
        let names: Vec<CString> = names.map(|object: &Object| object.name.clone()).collect();
        Some((led[0].count > 0, own.place, names))
    });
    let Some((changed, own_slot, names)) = changed.flatten() else { return false };
    names.iter().for_each(|name| loaded::pin(name));
    // SAFETY: see above; its library is pinned.
    if changed && unsafe { loaded::load(own_slot) } == hook {
        OWN_SLOT.store(own_slot, Ordering::Release);
    }
    changed
}

#[cfg(test)]
pub(super) mod tests {
    use super::{ORIGINAL, OWN_SLOT, find_fde, loaded};
    use std::sync::atomic::Ordering;

    /// Does what a loader does that was about to bind the slot when it was changed.
    pub(in crate::unwind) fn bind_once_more() {
        let (slot, original) = (OWN_SLOT.load(Ordering::Acquire), ORIGINAL.load(Ordering::Acquire));
        assert!(slot != 0 && original != 0);
        // SAFETY: libgcc's slots are on a page that can be written to, and lead to this function otherwise.
        assert!(unsafe { loaded::exchange(slot, find_fde as *const () as u64, original) });
    }
}
