//! Names and lines for valgrind, which knows no interface for linked code, but reads every ELF file that is mapped.
//!
//! You give pages of final code; under valgrind, the same bytes lie there afterwards as pages of a file that says what they are. The file is gone as soon as it is mapped, and valgrind
//! forgets it when the slab takes the pages back. Nothing happens where valgrind is not ([`is_there`]).
//!
//! `unsafe` because pages are mapped.
#![allow(unsafe_code)]

use super::elf::Image;
use super::own_file;
use crate::memory::Slab;
use rustix::mm::{MapFlags, ProtFlags};
use std::fs::DirBuilder;
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// Whether this process runs under valgrind.
pub(super) fn is_there() -> bool {
    static THERE: OnceLock<bool> = OnceLock::new();
    *THERE.get_or_init(|| crate::machine::calls::valgrinds() != 0)
}

/// The second mapping that valgrind wants of a file, which stays with the image: where another file's comes to lie in its place, valgrind forgets the first one.
#[derive(Debug)]
pub(crate) struct Mapped {
    address: usize,
    size: usize,
}

impl Drop for Mapped {
    fn drop(&mut self) {
        // SAFETY: a mapping of this value's own, whose address nobody else has. One that cannot be unmapped is a page too many.
        let _ = unsafe { rustix::mm::munmap(ptr::with_exposed_provenance_mut(self.address), self.size) };
    }
}

/// Tells valgrind of the code at `address`, whose pages `image` holds. `name` is what it calls the file.
///
/// # Errors
/// The file cannot be made, or the pages are not the slab's.
///
/// # Safety
/// The bytes of the image are those that lie there, and code that stays so until its memory is freed.
pub(super) unsafe fn tell(slab: &Slab, address: u64, image: &Image, name: &str) -> io::Result<Mapped> {
    let folder = folder()?;
    let path = folder.join(name.rsplit('/').next().filter(|name| !name.is_empty()).unwrap_or("image"));
    let told = own_file::create(&path).and_then(|mut file| {
        file.write_all(&image.bytes)?;
        // SAFETY: the caller's promise; the file has just been written, and nobody else knows it.
        unsafe { slab.cover(address..address + (image.code.end - image.code.start), &file, image.code.start)? };
        // Now valgrind has seen one of two segments. At the second one it reads the file.
        let size = (image.data.end - image.data.start) as usize;
        let prot = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new private mapping where the kernel likes, which nobody uses.
        let data =
            unsafe { rustix::mm::mmap(ptr::null_mut(), size, prot, MapFlags::PRIVATE, &file, image.data.start)? };
        Ok(Mapped { address: data.expose_provenance(), size })
    });
    // What cannot be removed is a file too many.
    let _ = std::fs::remove_file(&path).and_then(|()| std::fs::remove_dir(&folder));
    told
}

/// A folder of its own: a name that valgrind has seen is not read again.
fn folder() -> io::Result<PathBuf> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    loop {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("orc-{}-{number}", std::process::id()));
        match DirBuilder::new().mode(0o700).create(&folder) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => return made.map(|()| folder),
        }
    }
}
