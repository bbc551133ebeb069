//! Images as loaded objects: what dl_iterate_phdr(3), `_dl_find_object` and dlinfo(3) say of linked code.
//!
//! Each image is one object, with its dylib's name or its file's. It is based a page below its lowest address ([`file_base`]), as its file is. A `PT_LOAD` for each range, and a `PT_GNU_EH_FRAME` without a search table: unwinders that ask for one (libgcc's when it is linked statically, LLVM's) walk
//! the records. There is no dynamic section, and no thread-local storage that the system would know of.
//!
//! `unsafe` because callbacks are C functions, and because C code keeps pointers into what is here, which stays as long as the image.
#![allow(unsafe_code)]

use super::files::{self, FileOf};
use super::pointer;
use crate::debug::file_base;
use crate::image::{self, ImageInfo};
use crate::memory::Prot;
use crate::slots::prot_at;
use crate::sync::Arc;
use crate::sys;
use crate::sys::loaded::{self, Callback};
use libc::{Elf64_Phdr, dl_phdr_info};
use std::ffi::{CStr, c_int, c_void};
use std::ops::Range;
use std::sync::OnceLock;

/// `PT_GNU_EH_FRAME` (LSB, "Additional Special Sections").
const PT_GNU_EH_FRAME: u32 = 0x6474_e550;

/// An image as it is shown. What is made once stays until the image goes: C code holds pointers to it.
#[derive(Debug)]
pub(crate) struct Shown {
    ranges: Box<[Range<u64>]>,
    eh_frame: Option<EhFrameHeader>,
    headers: OnceLock<Box<[Elf64_Phdr]>>,
    link_map: LinkMap,
    pub(super) file: FileOf,
}

/// `.eh_frame_hdr` (LSB, "The .eh_frame_hdr section"), with the address of the table and without a search table.
#[derive(Debug)]
#[repr(C, packed)]
struct EhFrameHeader {
    version: u8,
    eh_frame_ptr_encoding: u8,
    fde_count_encoding: u8,
    table_encoding: u8,
    eh_frame_ptr: u64,
}

/// `DW_EH_PE_absptr`, `DW_EH_PE_omit` (LSB, "DWARF Exception Header Encoding").
const ABSOLUTE: u8 = 0;
const OMITTED: u8 = 0xff;

/// `struct link_map` (glibc's `link.h`): the public part of it, with pointers as addresses.
#[derive(Debug)]
#[repr(C)]
pub(super) struct LinkMap {
    /// What is added to the addresses in the object's file.
    l_addr: u64,
    l_name: u64,
    l_ld: u64,
    l_next: u64,
    l_prev: u64,
}

impl Shown {
    /// Under this name, which stays where it is.
    pub(crate) fn new(info: &ImageInfo, name: &CStr) -> Self {
        let eh_frame = info.eh_frame.map(|(eh_frame_ptr, _)| EhFrameHeader {
            version: 1,
            eh_frame_ptr_encoding: ABSOLUTE,
            fde_count_encoding: OMITTED,
            table_encoding: OMITTED,
            eh_frame_ptr,
        });
        let ranges: Box<[Range<u64>]> = info.ranges.iter().filter(|range| !range.is_empty()).cloned().collect();
        let lowest = ranges.iter().map(|range| range.start).min().unwrap_or(0);
        Self {
            ranges,
            eh_frame,
            headers: OnceLock::new(),
            link_map: LinkMap {
                l_addr: file_base(lowest),
                l_name: name.as_ptr().expose_provenance() as u64,
                l_ld: 0,
                l_next: 0,
                l_prev: 0,
            },
            file: FileOf::default(),
        }
    }

    /// What is added to the addresses in its headers and in its file.
    pub(super) fn base(&self) -> u64 {
        self.link_map.l_addr
    }

    /// Its program headers.
    pub(super) fn headers(&self) -> &[Elf64_Phdr] {
        self.headers_with(|| sys::mappings().unwrap_or_default().into())
    }

    /// As [`Self::headers`]; the process's mappings say what may be done with each range.
    fn headers_with(&self, maps: impl FnOnce() -> Arc<[sys::Mapping]>) -> &[Elf64_Phdr] {
        self.headers.get_or_init(|| {
            let maps = maps();
            let base = self.base();
            let loaded = self.ranges.iter().map(|range| {
                let prot = prot_at(&maps, range.start).unwrap_or(Prot::READ);
                let flag = |has: Prot, flag: u32| if prot.contains(has) { flag } else { 0 };
                let flags = flag(Prot::READ, libc::PF_R) | flag(Prot::WRITE, libc::PF_W) | flag(Prot::EXEC, libc::PF_X);
                header(libc::PT_LOAD, flags, range.start - base, range.end - range.start)
            });
            let size = size_of::<EhFrameHeader>() as u64;
            let table = self.eh_frame_header();
            let unwinding = (table != 0).then(|| header(PT_GNU_EH_FRAME, libc::PF_R, table.wrapping_sub(base), size));
            loaded.chain(unwinding).collect()
        })
    }

    /// The address of its `.eh_frame_hdr`; 0 without one. Good as long as the image.
    fn eh_frame_header(&self) -> u64 {
        self.eh_frame.as_ref().map_or(0, |table| std::ptr::from_ref(table).expose_provenance() as u64)
    }

    /// A link map of its own, in no list.
    pub(super) fn link_map(&self) -> &LinkMap {
        &self.link_map
    }
}

/// The ELF symbol of what begins at `address`, in an object of this base: its value, and that it is defined; its size and type are not told.
pub(super) fn entry(address: u64, base: u64) -> libc::Elf64_Sym {
    const STB_GLOBAL: u8 = 1 << 4;
    const FIRST_SECTION: u16 = 1;
    libc::Elf64_Sym {
        st_name: 0,
        st_info: STB_GLOBAL,
        st_other: 0,
        st_shndx: FIRST_SECTION,
        st_value: address.wrapping_sub(base),
        st_size: 0,
    }
}

fn header(p_type: u32, p_flags: u32, p_vaddr: u64, p_memsz: u64) -> Elf64_Phdr {
    Elf64_Phdr { p_type, p_flags, p_offset: 0, p_vaddr, p_paddr: p_vaddr, p_filesz: p_memsz, p_memsz, p_align: 1 }
}

/// A pass over the process's objects, whose counts are to be those of all objects.
struct Pass {
    callback: Callback,
    data: *mut c_void,
    ours: image::Counts,
    system: image::Counts,
}

/// `dl_iterate_phdr`: the process's objects, then the images that there are now. No lock of ours is held while `callback` runs. What it is told of an image, and the image's
/// file, stay until the call returns; its memory is that of a dylib that others may close. One that went before its turn is left out.
///
/// # Safety
/// As dl_iterate_phdr(3).
pub(super) unsafe extern "C-unwind" fn dl_iterate_phdr(callback: Callback, data: *mut c_void) -> c_int {
    let (images, counts) = image::all();
    files::make(&images);
    let mut pass = Pass { callback, data, ours: counts, system: image::Counts { added: 0, removed: 0 } };
    // SAFETY: `pass_on` gets the pass, which outlives the call.
    let stopped = unsafe { loaded::iterate(pass_on, (&raw mut pass).cast()) };
    if stopped != 0 {
        return stopped;
    }
    let mut maps: Option<Arc<[sys::Mapping]>> = None;
    for image in images {
        // It may have gone before its turn.
        if !image::at(image.base).is_some_and(|there| Arc::ptr_eq(&there, &image)) {
            continue;
        }
        let read = || sys::mappings().unwrap_or_default().into();
        let headers = image.shown.headers_with(|| Arc::clone(maps.get_or_insert_with(read)));
        let mut info = dl_phdr_info {
            dlpi_addr: image.shown.base(),
            dlpi_name: image.shown.file.path().unwrap_or(image.name.as_ptr()),
            dlpi_phdr: headers.as_ptr(),
            dlpi_phnum: headers.len() as u16,
            dlpi_adds: pass.system.added + counts.added,
            dlpi_subs: pass.system.removed + counts.removed,
            dlpi_tls_modid: 0,
            dlpi_tls_data: std::ptr::null_mut(),
        };
        // SAFETY: the caller's promise; what `info` points to stays as long as the image.
        let stopped = unsafe { callback(&raw mut info, size_of::<dl_phdr_info>(), data) };
        if stopped != 0 {
            return stopped;
        }
    }
    0
}

/// Passes one of the process's objects on, with counts that cover ours.
///
/// # Safety
/// Called by dl_iterate_phdr(3) with `data` pointing to a `Pass`.
unsafe extern "C-unwind" fn pass_on(info: *mut dl_phdr_info, size: usize, data: *mut c_void) -> c_int {
    // SAFETY: `dl_iterate_phdr` above passes its pass, which nobody else uses meanwhile.
    let pass = unsafe { &mut *data.cast::<Pass>() };
    let (callback, data) = (pass.callback, pass.data);
    if size != size_of::<dl_phdr_info>() {
        // A C library whose description has other fields than this one: it is passed on as it is.
        // SAFETY: the caller's promise.
        return unsafe { callback(info, size, data) };
    }
    // SAFETY: the loader passes a valid description, of this size.
    let mut info = unsafe { info.read() };
    pass.system = image::Counts { added: info.dlpi_adds, removed: info.dlpi_subs };
    info.dlpi_adds += pass.ours.added;
    info.dlpi_subs += pass.ours.removed;
    // SAFETY: the caller's promise, with a copy of what it was to be told.
    unsafe { callback(&raw mut info, size, data) }
}

/// `struct dl_find_object` (glibc's `dlfcn.h`).
#[repr(C)]
pub(super) struct FoundObject {
    flags: u64,
    map_start: *mut c_void,
    map_end: *mut c_void,
    link_map: *const LinkMap,
    eh_frame: *mut c_void,
    reserved: [u64; 7],
}

/// `int _dl_find_object(void *address, struct dl_find_object *result)`: executed code first, then the system. Unwinders call it, also in signal handlers: a lock that is
/// taken is not waited for.
///
/// # Safety
/// As `_dl_find_object`.
pub(super) unsafe extern "C-unwind" fn dl_find_object(address: *mut c_void, result: *mut FoundObject) -> c_int {
    let at = address.addr() as u64;
    let found = image::at_once(at, |image| {
        let range = image.shown.ranges.iter().find(|range| range.contains(&at)).cloned().unwrap_or(at..at);
        FoundObject {
            flags: 0,
            map_start: pointer(range.start),
            map_end: pointer(range.end),
            link_map: image.shown.link_map(),
            eh_frame: pointer(image.shown.eh_frame_header()),
            reserved: [0; 7],
        }
    });
    // Somebody may be changing the list of images: an unwinder needs the table all the same.
    let found = found.or_else(|| {
        let (function, header) = crate::unwind::header_at(at)?;
        let (map_start, map_end) = (pointer(function.start), pointer(function.end));
        let link_map = std::ptr::null();
        Some(FoundObject { flags: 0, map_start, map_end, link_map, eh_frame: pointer(header), reserved: [0; 7] })
    });
    let Some(found) = found else {
        // SAFETY: the caller's promise.
        return unsafe { system_find_object(address, result) };
    };
    // SAFETY: the caller's promise.
    unsafe { result.write(found) };
    0
}

/// # Safety
/// As `_dl_find_object`.
unsafe fn system_find_object(address: *mut c_void, result: *mut FoundObject) -> c_int {
    type Find = unsafe extern "C-unwind" fn(*mut c_void, *mut FoundObject) -> c_int;
    static FIND: OnceLock<Option<Find>> = OnceLock::new();
    let find = FIND.get_or_init(|| {
        let address = crate::native::system_symbol(c"_dl_find_object")?;
        // SAFETY: glibc documents the name with this type.
        Some(unsafe { std::mem::transmute::<usize, Find>(address as usize) })
    });
    // SAFETY: the caller's promise.
    find.map_or(-1, |find| unsafe { find(address, result) })
}
