//! Linux: anonymous private mappings, files in memory for code where the process is denied more, `/proc/self/maps`, the shared objects that the dynamic loader lists.

mod code;
pub(crate) mod loaded;
mod maps;
pub(crate) mod pages;
mod view;

pub(crate) use code::{NotExecutable, file_in_memory};
pub(crate) use maps::{Mapping, free_ranges, mappings};
pub(crate) use view::View;

/// Bytes in a page of this process (a property of the kernel, or of the emulator, not of the machine).
pub(crate) fn page_size() -> u64 {
    rustix::param::page_size() as u64
}

/// An address within libc, the library that all code calls.
pub(crate) fn libc_anchor() -> u64 {
    libc::getauxval as *const () as u64
}
