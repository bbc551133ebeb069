//! The process's own libraries see linked code, too.
//!
//! They call dl_iterate_phdr(3), dladdr(3) and their kin through slots of their global offset tables; the slots are led to the functions that executed code is linked
//! against, which put the process's objects first and answer for those as the C library does. Not for the unwinder itself, which asks `unwind`; nor for code that has
//! taken the address of one of the functions before, or finds it by dlsym(3).
//!
//! `unsafe` because what libraries call is changed.
#![allow(unsafe_code)]

use super::{dladdr, dladdr1, objects, trace};
use crate::native::system_symbol;
use crate::slots::{self, Lead};
use crate::sync::leaf::Mutex;
use crate::sys::{self, loaded};
use smallvec::SmallVec;
use std::ffi::CStr;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

/// What [`show_to_process`] has done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shows {
    /// How many slots lead to us now; none when the process calls none of the functions, or has no dynamic loader.
    pub slots: usize,
    /// Those that could not be changed: whoever calls through them goes on without linked code.
    pub refused: Vec<RefusedSlot>,
}

/// A slot that could not be changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedSlot {
    /// The path of the library that calls through it; empty for the program.
    pub library: String,
    /// The function that it is for.
    pub function: &'static str,
    /// Why it stays as it is, in the system's words.
    pub reason: String,
}

impl fmt::Display for RefusedSlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { library, function, reason } = self;
        let library = if library.is_empty() { "the program" } else { library };
        write!(f, "{library} does not see linked code through {function}: {reason}")
    }
}

/// How many objects had been loaded when the process was last shown linked code; 0: it was never.
static SHOWN_AT: AtomicU64 = AtomicU64::new(0);

/// A library may have been loaded: what is led to us in the process is so in it, too.
pub(crate) fn library_loaded() {
    crate::tls::library_loaded();
    let shown_at = SHOWN_AT.load(Ordering::Relaxed);
    if shown_at != 0 && shown_at != loaded::ever_loaded() {
        show_to_process();
    }
}

/// Has everything in this process see linked code by name: its backtraces (of Rust's std, of the `backtrace` crate, of libbacktrace, of backtrace_symbols(3)) name
/// functions, files and lines in frames of linked code.
///
/// It holds until the process ends, for the libraries that are loaded now and those that sessions or executed code load; others see linked code after another call. Slots that the
/// dynamic loader has protected (RELRO) are made writable for a moment; sealed ones (mseal(2)) stay as they are and are told, and so is every one if the process
/// may not change protections. What is not told costs a caller nothing but a look at the table of images.
///
/// Rust's std reads the list of objects when it prints its first backtrace, and never again: what is linked afterwards it does not know, as with libraries that
/// the system's dlopen(3) loads.
pub fn show_to_process() -> Shows {
    static SHOWING: Mutex<()> = Mutex::new(());
    let _one = SHOWING.lock();
    SHOWN_AT.store(loaded::ever_loaded(), Ordering::Relaxed);
    let ours: [(&'static CStr, u64); 5] = [
        (c"dl_iterate_phdr", objects::dl_iterate_phdr as *const () as u64),
        (c"dladdr", dladdr as *const () as u64),
        (c"dladdr1", dladdr1 as *const () as u64),
        (c"backtrace_symbols", trace::backtrace_symbols as *const () as u64),
        (c"backtrace_symbols_fd", trace::backtrace_symbols_fd as *const () as u64),
    ];
    let theirs = ours.map(|(name, _)| system_symbol(name));
    let unwinder = system_symbol(c"_Unwind_Find_FDE");
    let mut shows = Shows::default();
    let Ok(maps) = sys::mappings() else { return shows };
    let names = loaded::with_all(|objects| {
        let lead = |((name, to), from): ((&'static CStr, u64), Option<u64>)| {
            Some(Lead { name, from: from?, to, except: unwinder })
        };
        let leads: SmallVec<[Lead; 5]> = ours.into_iter().zip(theirs).filter_map(lead).collect();
        // SAFETY: each function of ours answers for everybody as the original does, which it calls; both are pinned below.
        let led = unsafe { slots::lead(objects, &leads, &maps) };
        for (Lead { name, .. }, led) in leads.iter().zip(led) {
            shows.slots += led.count;
            shows.refused.extend(led.refused.into_iter().map(|refused| RefusedSlot {
                library: refused.object.to_string_lossy().into_owned(),
                function: name.to_str().unwrap_or_default(),
                reason: refused.why.to_string(),
            }));
        }
        // What slots lead to must stay.
        let hook = ours[0].1;
        let holder = objects.iter().find(|object| object.contains(&(hook..hook + 1)) && !object.program);
        holder.map(|object| object.name.clone())
    });
    if let Some(name) = names.flatten() {
        loaded::pin(&name);
    }
    shows
}
