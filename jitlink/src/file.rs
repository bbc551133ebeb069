//! Input files as bytes: small ones are read, large ones mapped.
//!
//! **You give** a path. **You get** a [`FileMap`] whose bytes objects and archives can borrow as long as it lives. **Not here:** what is
//! in the file ([`crate::object::detect`]).
//!
//! A fresh page of memory costs microseconds, and reading fills a fresh one for every 4 KiB of the file; a mapping shows the pages that
//! the system has cached anyway, sixteen at a fault, and never those that nobody looks at, such as debug information. Measured on
//! warm files (microseconds a file, all bytes read; in brackets: one byte in 64 KiB read):
//!
//! | size | read | map |
//! |---|---|---|
//! | 4 KiB | 10 | 15 |
//! | 16 KiB | 26 | 22 (17) |
//! | 64 KiB | 90 | 44 (23) |
//! | 1 MiB | 1,600 | 180 (27) |
//! | 16 MiB | 20,000 | 1,330 (46) |

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Files of at least this many bytes are mapped.
const MAP_FROM: u64 = 16 << 10;

/// Above this number of mappings at once, files are read: a process has 65,530 (`vm.max_map_count`), and code needs some, too.
const MAX_MAPPINGS: usize = 8192;

/// Mappings of this process that were made here and still exist.
static MAPPINGS: AtomicUsize = AtomicUsize::new(0);

/// The bytes of a file, unchanged as long as this lives.
pub struct FileMap(Bytes);

enum Bytes {
    Read(Vec<u8>),
    Mapped(memmap2::Mmap),
}

impl FileMap {
    /// Reads or maps the file at `path`.
    ///
    /// The file must not be changed in place while it is mapped: build tools replace their outputs by new files, which is fine, and
    /// every linker relies on it. Where that cannot be promised, use [`Self::read`].
    ///
    /// # Errors
    /// What the system says about the file, with its path.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, FileError> {
        let path = path.as_ref();
        Self::open_file(path, true).map_err(|source| FileError { path: path.to_owned(), source })
    }

    /// Reads the file at `path` into memory, whatever its size: nobody can change these bytes.
    ///
    /// # Errors
    /// What the system says about the file, with its path.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, FileError> {
        let path = path.as_ref();
        Self::open_file(path, false).map_err(|source| FileError { path: path.to_owned(), source })
    }

    fn open_file(path: &Path, may_map: bool) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let metadata = file.metadata()?;
        let length = metadata.len();
        if may_map
            && metadata.is_file()
            && length >= MAP_FROM
            && MAPPINGS.load(Ordering::Relaxed) < MAX_MAPPINGS
            && let Some(mapping) = map(&file)
        {
            return Ok(Self(Bytes::Mapped(mapping)));
        }
        // Pipes and the like say 0 and have more.
        let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or(0));
        file.read_to_end(&mut bytes)?;
        Ok(Self(Bytes::Read(bytes)))
    }

    /// Whether the bytes are the system's cached pages rather than memory of our own.
    #[must_use]
    pub fn is_mapped(&self) -> bool {
        matches!(self.0, Bytes::Mapped(_))
    }
}

/// Maps a regular file; `None` where the system refuses (a file system without mappings, or too many of them).
fn map(file: &File) -> Option<memmap2::Mmap> {
    // SAFETY: The mapping must not change while its bytes are borrowed. It is private and without write permission, so nobody in
    // this process can change it; it is of a regular file (checked by the caller), which no device changes. That nobody else
    // writes to the file in place is what `FileMap::open` demands of its user: the system offers no way to enforce it.
    #[expect(unsafe_code, reason = "mapping a file is unsafe by nature; everything else in this crate is safe")]
    let mapping = unsafe { memmap2::Mmap::map(file) }.ok()?;
    MAPPINGS.fetch_add(1, Ordering::Relaxed);
    Some(mapping)
}

impl Drop for Bytes {
    fn drop(&mut self) {
        if let Self::Mapped(_) = self {
            MAPPINGS.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Deref for FileMap {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match &self.0 {
            Bytes::Read(bytes) => bytes,
            Bytes::Mapped(mapping) => mapping,
        }
    }
}

impl AsRef<[u8]> for FileMap {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl fmt::Debug for FileMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let how = if self.is_mapped() { "mapped" } else { "read" };
        write!(f, "FileMap({} bytes, {how})", self.len())
    }
}

/// A file that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read {}: {source}", path.display())]
pub struct FileError {
    /// Which.
    pub path: PathBuf,
    /// Why.
    pub source: io::Error,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_files_are_read_and_large_ones_mapped() {
        let folder = tempfile::tempdir().expect("a folder");
        for (size, mapped) in [(0, false), (100, false), (MAP_FROM as usize, true), (1 << 20, true)] {
            let path = folder.path().join(size.to_string());
            let bytes: Vec<u8> = (0..size).map(|i| (i % 251) as u8).collect();
            std::fs::write(&path, &bytes).expect("can be written");
            let file = FileMap::open(&path).expect("can be opened");
            assert_eq!((&file[..], file.is_mapped()), (&bytes[..], mapped));
            let file = FileMap::read(&path).expect("can be read");
            assert_eq!((&file[..], file.is_mapped()), (&bytes[..], false));
        }
    }

    #[test]
    fn a_replaced_file_keeps_its_bytes() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.o");
        std::fs::write(&path, vec![1; 1 << 20]).expect("can be written");
        let file = FileMap::open(&path).expect("can be opened");
        let other = folder.path().join("new.o");
        std::fs::write(&other, vec![2; 1 << 10]).expect("can be written");
        std::fs::rename(&other, &path).expect("can be renamed");
        assert!(file.iter().all(|byte| *byte == 1));
    }

    #[test]
    fn errors_name_the_file() {
        let said = FileMap::open("no/such/file.o").expect_err("is not there").to_string();
        assert!(said.starts_with("cannot read no/such/file.o: "), "{said}");
        let folder = tempfile::tempdir().expect("a folder");
        assert!(FileMap::open(folder.path()).is_err(), "a folder has no bytes");
    }
}
