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

/// Makes written code visible to instruction fetch. x86 keeps the two coherent by itself (Intel SDM volume 3, 13.6); the other machines do
/// not, and their executor must add its instructions here.
#[cfg(any(target_arch = "x86_64", target_arch = "x86"))]
pub(crate) fn code_was_written(_address: u64, _size: u64) {}

#[cfg(not(any(target_arch = "x86_64", target_arch = "x86")))]
compile_error!("this machine needs its instruction cache maintenance in sys/mod.rs");
