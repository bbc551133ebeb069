//! What is asked of the operating system for memory, chosen once.
//!
//! A system is one folder with the same names: `pages` (map, protect, advise), `loaded` (its shared objects), and the free functions below. Linux stands here; another system adds its own and one line.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
pub(crate) use linux::{
    Mapping, NotExecutable, View, file_in_memory, free_ranges, libc_anchor, loaded, mappings, page_size, pages,
};

#[cfg(not(target_os = "linux"))]
compile_error!("orc-rt runs on Linux; another system needs a module beside sys/linux");
