//! Executed code finds dylibs by name: dl_iterate_phdr(3), dladdr(3), backtrace_symbols(3) and their kin know linked code beside the process's own objects.
//!
//! You get the C library's functions of these names, for executed code to be linked against: what the process has comes first, as it always was, then each image.
//! An image is shown as a loaded object with program headers, an unwind table and a *file*: a descriptor of this process, made when somebody asks, from which a
//! symbolizer (Rust's std, libbacktrace, addr2line) reads functions and lines. [`show_to_process`] has the process's own libraries see all of that, too: a host
//! application's backtraces through linked code have names then.
//!
//! - `objects.rs`: images as the dynamic loader would list them.
//! - `files.rs`: their files.
//! - `trace.rs`: backtraces in words.
//! - `process.rs`: the process's own libraries.
//!
//! Not for unwinding, which has `unwind`; not for what lies at an address in another process, which the controller is asked.
//!
//! `unsafe` because this is where C pointers come in.
#![allow(unsafe_code)]

mod files;
mod objects;
mod process;
mod trace;

pub(crate) use objects::Shown;
pub(crate) use process::library_loaded;
pub use process::{RefusedSlot, Shows, show_to_process};

use crate::context;
use crate::dlfcn::{DlError, Handle, who_has};
use crate::image::{self, Image};
use crate::native::{system_error, system_symbol};
use crate::sync::Arc;
use libc::Dl_info;
use objects::LinkMap;
use std::ffi::{c_int, c_void};

/// Names and addresses, for executed code.
pub(crate) fn entry_points() -> Vec<(&'static str, u64)> {
    let mut all = vec![
        ("__orc_rt_jit_dladdr", jit_dladdr as *const () as u64),
        ("dladdr", dladdr as *const () as u64),
        ("dladdr1", dladdr1 as *const () as u64),
        ("dlinfo", dlinfo as *const () as u64),
        ("dl_iterate_phdr", objects::dl_iterate_phdr as *const () as u64),
        ("backtrace_symbols", trace::backtrace_symbols as *const () as u64),
        ("backtrace_symbols_fd", trace::backtrace_symbols_fd as *const () as u64),
    ];
    // glibc has it since 2.35: who finds it missing asks dl_iterate_phdr(3).
    if system_symbol(c"_dl_find_object").is_some() {
        all.push(("_dl_find_object", objects::dl_find_object as *const () as u64));
    }
    all
}

fn pointer(address: u64) -> *mut c_void {
    std::ptr::with_exposed_provenance_mut(address as usize)
}

/// `int __orc_rt_jit_dladdr(const void *address, Dl_info *info)`: 0 when the address is not in executed code.
///
/// # Safety
/// `info` may be written.
unsafe extern "C-unwind" fn jit_dladdr(address: *const c_void, info: *mut Dl_info) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { describe(address.addr() as u64, info) }.map_or(0, |_| 1)
}

/// Says what lies at `address`, and in which image, if it is executed code.
///
/// # Safety
/// `info` may be written.
unsafe fn describe(address: u64, info: *mut Dl_info) -> Option<(Arc<Image>, Option<Arc<image::Described>>)> {
    let image = image::at(address)?;
    let symbol = image.symbol(address);
    let found = Dl_info {
        // These pointers are good as long as the image is.
        dli_fname: image.name.as_ptr(),
        dli_fbase: pointer(image.base),
        dli_sname: symbol.as_ref().map_or(std::ptr::null(), |symbol| symbol.name.as_ptr()),
        dli_saddr: symbol.as_ref().map_or(std::ptr::null_mut(), |symbol| pointer(symbol.address)),
    };
    // SAFETY: the caller's promise.
    unsafe { info.write(found) };
    Some((image, symbol))
}

/// `dladdr`: executed code first, then the system.
///
/// # Safety
/// As dladdr(3).
pub(super) unsafe extern "C-unwind" fn dladdr(address: *const c_void, info: *mut Dl_info) -> c_int {
    // SAFETY: the caller's promise.
    match unsafe { jit_dladdr(address, info) } {
        // SAFETY: the caller's promise.
        0 => unsafe { system::dladdr()(address, info) },
        found => found,
    }
}

/// `dladdr1`: as `dladdr`. The link map of executed code is in no list; its ELF symbol has a value, and neither size nor type.
///
/// # Safety
/// As dladdr1(3).
pub(super) unsafe extern "C-unwind" fn dladdr1(
    address: *const c_void,
    info: *mut Dl_info,
    extra: *mut *mut c_void,
    flags: c_int,
) -> c_int {
    const RTLD_DL_SYMENT: c_int = 1;
    const RTLD_DL_LINKMAP: c_int = 2;
    // SAFETY: the caller's promise.
    let Some((image, symbol)) = (unsafe { describe(address.addr() as u64, info) }) else {
        // SAFETY: the caller's promise.
        return unsafe { system::dladdr1()(address, info, extra, flags) };
    };
    let further = match flags {
        0 => return 1,
        RTLD_DL_LINKMAP => std::ptr::from_ref(image.shown.link_map()).cast_mut().cast(),
        RTLD_DL_SYMENT => symbol.map_or(std::ptr::null_mut(), |symbol| {
            let entry = symbol.entry.get_or_init(|| objects::entry(symbol.address, image.shown.base()));
            // Its image keeps it.
            std::ptr::from_ref(entry).cast_mut().cast()
        }),
        _ => std::ptr::null_mut(),
    };
    // SAFETY: the caller's promise: with a flag there is a place for the answer.
    unsafe { extra.write(further) };
    1
}

/// `dlinfo`: of executed code the namespace, the link map and the program headers are known.
///
/// # Safety
/// As dlinfo(3).
unsafe extern "C-unwind" fn dlinfo(handle: *mut c_void, request: c_int, info: *mut c_void) -> c_int {
    const RTLD_DI_LMID: c_int = 1;
    const RTLD_DI_LINKMAP: c_int = 2;
    const RTLD_DI_PHDR: c_int = 11;
    let ours = Handle::from_raw(handle as u64);
    if !ours.is_ours() {
        // SAFETY: the caller's promise.
        let result = unsafe { system::dlinfo()(handle, request, info) };
        if result != 0
            && let Some(text) = system_error()
        {
            context::set_error(&text.to_string_lossy());
        }
        return result;
    }
    let refuse = |text: &str| {
        context::set_error(text);
        -1
    };
    let Some((session, dylib)) = who_has(ours) else {
        return refuse(&DlError::BadHandle { handle: ours }.to_string());
    };
    let Some(image) = image::of_dylib(&session, dylib) else {
        return refuse("dlinfo: nothing of this JITDylib is linked");
    };
    // SAFETY (of what is written): the caller's promise, which is about the type for each request.
    match request {
        // SAFETY: see above.
        RTLD_DI_LMID => unsafe { info.cast::<libc::c_long>().write(libc::LM_ID_BASE) },
        // SAFETY: see above.
        RTLD_DI_LINKMAP => unsafe { info.cast::<*const LinkMap>().write(image.shown.link_map()) },
        RTLD_DI_PHDR => {
            let headers = image.shown.headers();
            // SAFETY: see above.
            unsafe { info.cast::<*const libc::Elf64_Phdr>().write(headers.as_ptr()) };
            return headers.len() as c_int;
        }
        _ => {
            return refuse(
                "dlinfo: a JITDylib has a namespace, a link map and program headers, and nothing else to tell",
            );
        }
    }
    0
}

/// The C library's functions of the same names, whoever has changed the way to them.
mod system {
    use crate::native::system_symbol;
    use libc::Dl_info;
    use std::ffi::{c_char, c_int, c_void};
    use std::sync::OnceLock;

    mod linked {
        use super::{Dl_info, c_char, c_int, c_void};
        unsafe extern "C-unwind" {
            pub(super) fn dladdr(address: *const c_void, info: *mut Dl_info) -> c_int;
            pub(super) fn dladdr1(
                address: *const c_void,
                info: *mut Dl_info,
                extra: *mut *mut c_void,
                flags: c_int,
            ) -> c_int;
            pub(super) fn dlinfo(handle: *mut c_void, request: c_int, info: *mut c_void) -> c_int;
            pub(super) fn backtrace_symbols(addresses: *const *mut c_void, count: c_int) -> *mut *mut c_char;
            pub(super) fn backtrace_symbols_fd(addresses: *const *mut c_void, count: c_int, file: c_int);
        }
    }

    macro_rules! found_by_name {
        ($($name:ident: $type:ty = $text:literal;)*) => {$(
            /// What the system has under this name: by its own symbol table, since a slot may lead to us.
            pub(super) fn $name() -> $type {
                static FOUND: OnceLock<$type> = OnceLock::new();
                *FOUND.get_or_init(|| match system_symbol($text) {
                    // SAFETY: the C library documents the name with this type.
                    Some(address) => unsafe { std::mem::transmute::<usize, $type>(address as usize) },
                    // A program that is linked statically has no table, and no slots either.
                    None => linked::$name,
                })
            }
        )*};
    }

    found_by_name! {
        dladdr: unsafe extern "C-unwind" fn(*const c_void, *mut Dl_info) -> c_int = c"dladdr";
        dladdr1: unsafe extern "C-unwind" fn(*const c_void, *mut Dl_info, *mut *mut c_void, c_int) -> c_int = c"dladdr1";
        dlinfo: unsafe extern "C-unwind" fn(*mut c_void, c_int, *mut c_void) -> c_int = c"dlinfo";
        backtrace_symbols: unsafe extern "C-unwind" fn(*const *mut c_void, c_int) -> *mut *mut c_char = c"backtrace_symbols";
        backtrace_symbols_fd: unsafe extern "C-unwind" fn(*const *mut c_void, c_int, c_int) = c"backtrace_symbols_fd";
    }
}
