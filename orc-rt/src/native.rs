//! The system's own shared libraries, in this process.
//!
//! You name a library as dlopen(3) takes it; you look up names in batches and get addresses, whether each is a function or data, and how
//! large the data is (code that is not position-independent must know). Libraries stay open until the process ends: their handlers and
//! thread-local destructors may be called at any later time.
//!
//! `unsafe` because dlopen(3) runs code and dlsym(3), dladdr1(3) and dl_iterate_phdr(3) speak in pointers.
#![allow(unsafe_code)]

use crate::sync::leaf::Mutex;
use crate::sys::loaded;
use crate::tls::ThreadLocal;
use std::collections::HashMap;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::fmt;
use std::ops::Range;

/// A shared library opened by [`Native::open`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NativeLibrary(u32);

impl NativeLibrary {
    /// Its number in its session, for those who name it from another process.
    pub fn number(self) -> u32 {
        self.0
    }

    /// The library with this number. Any number may be asked for: one that was never given out finds nothing.
    pub fn from_number(number: u32) -> Self {
        Self(number)
    }
}

impl fmt::Display for NativeLibrary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "native-{}", self.0)
    }
}

/// What lies at a symbol's address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NativeKind {
    /// Code: a stub may stand in for it.
    Function,
    /// Data: every reference must reach the one address.
    Data,
    /// A thread-local variable: its address is that of the calling thread's.
    ThreadLocal(ThreadLocal),
    /// Nothing is known (absolute symbols, memory outside of every library).
    Unknown,
}

/// A symbol of a shared library.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NativeSymbol {
    /// Its address in this process.
    pub address: u64,
    /// What it is.
    pub kind: NativeKind,
    /// `st_size` in bytes; 0 when it is not known or was not asked for (functions).
    pub size: u64,
}

/// A library that could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot open the shared library {name}: {reason}")]
pub struct NativeError {
    /// As it was asked for.
    pub name: String,
    /// The dynamic loader's own words.
    pub reason: String,
}

/// The libraries of one session.
#[derive(Debug, Default)]
pub struct Native {
    /// Handles of dlopen(3), as addresses; never closed.
    handles: Mutex<Vec<u64>>,
    segments: Mutex<Segments>,
}

/// Loaded segments of every shared object, sorted by address.
#[derive(Debug, Default)]
struct Segments {
    list: Vec<Segment>,
    /// Type and size of data that was described before.
    symbols: HashMap<u64, (NativeKind, u64)>,
}

#[derive(Debug, Clone)]
struct Segment {
    range: Range<u64>,
    executable: bool,
    /// Code and read-only data share this segment (`ld -z noseparate-code`), so its symbols must be asked one by one.
    mixed: bool,
}

impl Native {
    /// Opens a shared library, its symbols visible to all that follow (`RTLD_NOW | RTLD_GLOBAL`). The same library gives the same number.
    ///
    /// # Errors
    /// The dynamic loader refuses; its words are passed on.
    pub fn open(&self, name: &str) -> Result<NativeLibrary, NativeError> {
        use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};
        let failed = |reason: String| NativeError { name: name.to_owned(), reason };
        // SAFETY: the library's initializers run, which is what the caller asked for.
        let library =
            unsafe { Library::open(Some(name), RTLD_NOW | RTLD_GLOBAL) }.map_err(|error| failed(reason_of(&error)))?;
        let handle = library.into_raw() as u64;
        crate::names::library_loaded();
        let mut handles = self.handles.lock();
        let index = handles.iter().position(|&known| known == handle).unwrap_or_else(|| {
            handles.push(handle);
            handles.len() - 1
        });
        Ok(NativeLibrary(index as u32))
    }

    /// Looks names up in `library` and what it depends on.
    pub fn lookup<N: AsRef<str>>(&self, library: NativeLibrary, names: &[N]) -> Vec<Option<NativeSymbol>> {
        let handle = self.handles.lock().get(library.0 as usize).copied();
        match handle {
            Some(handle) => self.lookup_in(std::ptr::with_exposed_provenance_mut(handle as usize), names),
            None => vec![None; names.len()],
        }
    }

    /// Looks names up in the process: the executable, what it was linked with, and what was opened globally.
    pub fn lookup_process<N: AsRef<str>>(&self, names: &[N]) -> Vec<Option<NativeSymbol>> {
        self.lookup_in(libc::RTLD_DEFAULT, names)
    }

    /// Looks up thread-local variables in the process; those of libraries that were opened late get static storage if that can be had,
    /// so that code of every model can use them. Asked before any other lookup of the name, which would use the variable.
    pub fn lookup_thread_locals<N: AsRef<str>>(&self, names: &[N]) -> Vec<Option<NativeSymbol>> {
        let one = |name: &N| {
            let name = CString::new(name.as_ref()).ok()?;
            let variable = crate::tls::ask(&name)?;
            // SAFETY: the loader has just named it.
            let address = unsafe { crate::tls::address_here(variable) };
            Some(NativeSymbol { address, kind: NativeKind::ThreadLocal(variable), size: 0 })
        };
        names.iter().map(one).collect()
    }

    fn lookup_in<N: AsRef<str>>(&self, handle: *mut c_void, names: &[N]) -> Vec<Option<NativeSymbol>> {
        let mut segments = self.segments.lock();
        let mut refreshed = false;
        let mut buffer = Vec::new();
        let mut describe = |address: u64| {
            if segments.find(address).is_none() && crate::copies::size_at(address).is_none() && !refreshed {
                refreshed = true;
                *segments = Segments::of_this_process();
            }
            segments.describe(address)
        };
        names
            .iter()
            .map(|name| {
                // `f@V` asks for that version of f, `f@@V` too (GNU symbol versioning).
                let (name, version) = match name.as_ref().split_once('@') {
                    Some((name, version)) => (name, Some(version.trim_start_matches('@'))),
                    None => (name.as_ref(), None),
                };
                buffer.clear();
                buffer.extend_from_slice(name.as_bytes());
                buffer.push(0);
                let name = CStr::from_bytes_with_nul(&buffer).ok()?;
                let address = match version {
                    // SAFETY: the handle is RTLD_DEFAULT or came from dlopen(3) and was never closed.
                    None => unsafe { libc::dlsym(handle, name.as_ptr()) },
                    Some(version) => {
                        let version = CString::new(version).ok()?;
                        // SAFETY: as above.
                        unsafe { libc::dlvsym(handle, name.as_ptr(), version.as_ptr()) }
                    }
                } as u64;
                (address != 0).then(|| describe(address))
            })
            .collect()
    }
}

fn reason_of(error: &libloading::Error) -> String {
    match error {
        libloading::Error::DlOpen { source, .. } => source.to_string(),
        other => other.to_string(),
    }
}

impl Segments {
    fn of_this_process() -> Self {
        let mut list: Vec<Segment> = Vec::new();
        // SAFETY: the callback gets the pointer to `list`, which outlives the call, and is called on this thread only.
        unsafe { loaded::iterate(collect, (&raw mut list).cast()) };
        list.sort_unstable_by_key(|segment| segment.range.start);
        Self { list, symbols: HashMap::new() }
    }

    fn find(&self, address: u64) -> Option<&Segment> {
        let after = self.list.partition_point(|segment| segment.range.start <= address);
        self.list[..after].last().filter(|segment| address < segment.range.end)
    }

    fn describe(&mut self, address: u64) -> NativeSymbol {
        if let Some(size) = crate::copies::size_at(address) {
            return NativeSymbol { address, kind: NativeKind::Data, size };
        }
        let Some(segment) = self.find(address) else {
            let kind = crate::tls::locate(address).map_or(NativeKind::Unknown, NativeKind::ThreadLocal);
            return NativeSymbol { address, kind, size: 0 };
        };
        // The system walks the whole symbol table of the library for this, so functions, of which there are many, are not asked for.
        let usual = match (segment.executable, segment.mixed) {
            (true, false) => return NativeSymbol { address, kind: NativeKind::Function, size: 0 },
            (true, true) => (NativeKind::Function, 0),
            (false, _) => (NativeKind::Data, 0),
        };
        // A dylib that is opened again asks for the same ones.
        let (kind, size) = *self.symbols.entry(address).or_insert_with(|| symbol_at(address).unwrap_or(usual));
        NativeSymbol { address, kind, size }
    }
}

/// # Safety
/// Called by dl_iterate_phdr(3) with `data` pointing to a `Vec<Segment>`.
unsafe extern "C-unwind" fn collect(info: *mut libc::dl_phdr_info, _size: usize, data: *mut c_void) -> c_int {
    // SAFETY: the loader passes a valid description, and `of_this_process` its vector.
    let (info, list) = unsafe { (&*info, &mut *data.cast::<Vec<Segment>>()) };
    if info.dlpi_phdr.is_null() {
        return 0;
    }
    // SAFETY: the loader says how many headers there are.
    let headers = unsafe { std::slice::from_raw_parts(info.dlpi_phdr, usize::from(info.dlpi_phnum)) };
    for header in headers.iter().filter(|header| header.p_type == libc::PT_LOAD) {
        let start = info.dlpi_addr.wrapping_add(header.p_vaddr);
        let executable = header.p_flags & libc::PF_X != 0;
        list.push(Segment {
            range: start..start.saturating_add(header.p_memsz),
            executable,
            mixed: executable && header.p_offset == 0,
        });
    }
    0
}

/// What the loader says of an address, with the symbol that begins at or before it, if there is one.
fn described(address: u64) -> Option<(libc::Dl_info, Option<libc::Elf64_Sym>)> {
    unsafe extern "C-unwind" {
        fn dladdr1(address: *const c_void, info: *mut libc::Dl_info, extra: *mut *mut c_void, flags: c_int) -> c_int;
    }
    const RTLD_DL_SYMENT: c_int = 1;
    // SAFETY: all zero is a valid Dl_info: null pointers.
    let mut info: libc::Dl_info = unsafe { std::mem::zeroed() };
    let mut symbol: *mut c_void = std::ptr::null_mut();
    let pointer = std::ptr::with_exposed_provenance(address as usize);
    // SAFETY: both results are written to our own variables; any address may be asked for.
    let found = unsafe { dladdr1(pointer, &raw mut info, &raw mut symbol, RTLD_DL_SYMENT) };
    // SAFETY: with RTLD_DL_SYMENT the extra result is null or points to the library's Elf64_Sym, which stays as long as the library.
    (found != 0).then(|| (info, unsafe { symbol.cast::<libc::Elf64_Sym>().as_ref() }.copied()))
}

/// Type and size of the dynamic symbol that begins at `address`, as its library's symbol table says.
fn symbol_at(address: u64) -> Option<(NativeKind, u64)> {
    let (info, symbol) = described(address)?;
    let symbol = symbol.filter(|_| info.dli_saddr as u64 == address)?;
    // The low four bits of st_info are the type (gABI, symbol table).
    let kind = match symbol.st_info & 0xf {
        1 | 5 => NativeKind::Data,      // STT_OBJECT, STT_COMMON
        2 | 10 => NativeKind::Function, // STT_FUNC, STT_GNU_IFUNC
        _ => return None,
    };
    Some((kind, symbol.st_size))
}

/// What the system's loader knows of an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NativePlace {
    /// The shared library, or the program, by its path.
    pub library: String,
    /// How far the address lies behind its beginning.
    pub offset: u64,
    /// The exported function that covers the address, and how far it lies in it.
    pub function: Option<(String, u64)>,
}

/// What is at `address`, if that is in a shared library or in the program. Takes the loader's lock.
pub fn place_at(address: u64) -> Option<NativePlace> {
    let (info, symbol) = described(address)?;
    // SAFETY: not null, hence strings of the loader, which stay as long as the library; they are copied here.
    let text =
        |text: *const c_char| (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned());
    let start = info.dli_saddr as u64;
    let covers = symbol.is_some_and(|symbol| start <= address && address - start < symbol.st_size);
    let function = text(info.dli_sname).filter(|_| covers).map(|name| (name, address - start));
    let library = text(info.dli_fname)?;
    Some(NativePlace { library, offset: address.saturating_sub(info.dli_fbase as u64), function })
}

/// An address of the C library or of anything it can find, for names that must come from there and may be missing.
pub(crate) fn system_symbol(name: &CStr) -> Option<u64> {
    // SAFETY: RTLD_DEFAULT is always valid.
    let address = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) } as u64;
    (address != 0).then_some(address)
}

/// The text of the system's last dlfcn(3) error on this thread.
pub(crate) fn system_error() -> Option<CString> {
    // SAFETY: the text is valid until the next call on this thread, and is copied here.
    unsafe {
        let text: *mut c_char = libc::dlerror();
        (!text.is_null()).then(|| CStr::from_ptr(text).to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::{Native, NativeKind, place_at};

    #[test]
    fn functions_data_and_missing_names_of_the_process() {
        let native = Native::default();
        let found = native.lookup_process(&["malloc", "environ", "stdout", "no_such_symbol_anywhere", "bad\0name"]);
        let [malloc, environ, stdout, missing, bad] = found[..] else { panic!("{found:?}") };
        assert_eq!(malloc.map(|symbol| symbol.kind), Some(NativeKind::Function));
        assert_eq!(environ.map(|symbol| symbol.kind), Some(NativeKind::Data));
        assert_eq!(stdout.map(|symbol| (symbol.kind, symbol.size)), Some((NativeKind::Data, 8)));
        assert_eq!((missing, bad), (None, None));
    }

    #[test]
    fn a_library_is_opened_once_and_searched() {
        let native = Native::default();
        let library = native.open("libm.so.6").expect("libm is part of libc");
        assert_eq!(native.open("libm.so.6").expect("again"), library);
        let found = native.lookup(library, &["cos", "signgam"]);
        assert_eq!(found[0].map(|symbol| symbol.kind), Some(NativeKind::Function));
        assert_eq!(found[1].map(|symbol| (symbol.kind, symbol.size)), Some((NativeKind::Data, 4)));
    }

    #[test]
    fn places_of_the_process_have_their_library_and_function() {
        let malloc = super::system_symbol(c"malloc").expect("the C library has it");
        let place = place_at(malloc + 3).expect("it is code");
        assert!(place.library.contains("libc.so"), "{place:?}");
        assert_eq!(place.function, Some(("malloc".to_owned(), 3)));
        assert_eq!(place_at(0x10), None);
    }

    #[test]
    fn a_missing_library_says_so() {
        let error = Native::default().open("libnowhere.so.9").expect_err("it does not exist").to_string();
        assert!(error.contains("libnowhere.so.9") && error.contains("No such file"), "{error}");
    }
}
