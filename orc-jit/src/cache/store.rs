//! The directory: entries by name, written whole or not at all, read with their hash, the oldest removed.
//!
//! There are no lock files. A file is written under a name that nobody else has and then renamed, so that a reader finds all of it or nothing; of two writers
//! of the same entry the last one wins, and both wrote the same. A file that is removed while somebody reads it stays whole for that reader. Everything goes through
//! the descriptor of the directory that was checked, and nothing follows a symbolic link.

use super::CacheError;
use super::entry::{HEADER, header, read_header};
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Timespec, Timestamps, UTIME_NOW, openat, statat};
use rustix::io::Errno;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

/// Hash of something; a name of a file in the directory.
pub(crate) type Hash = [u8; 32];

/// What a temporary file is called that nobody will rename any more, in seconds of age.
const ABANDONED: i64 = 3600;
/// The largest list of inputs that is read.
const LARGEST_LIST: u64 = 64 << 20;
/// How many bytes are hashed while they are in the processor's cache.
const CHUNK: usize = 256 << 10;

/// The directory of a cache.
#[derive(Debug)]
pub(crate) struct Store {
    folder: OwnedFd,
    size: u64,
}

/// An entry that is open for reading; its table of contents was found whole.
#[derive(Debug)]
pub(crate) struct Reading {
    file: File,
    /// The table of contents.
    pub(crate) meta: Vec<u8>,
    /// Bytes in all.
    pub(crate) size: u64,
}

/// Why an entry cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    #[error("there is none")]
    Absent,
    #[error("{0}")]
    Damaged(String),
    #[error("it {0}")]
    Shared(&'static str),
    #[error("{0}")]
    System(#[from] io::Error),
}

impl From<Errno> for ReadError {
    fn from(error: Errno) -> Self {
        if error == Errno::NOENT { Self::Absent } else { Self::System(error.into()) }
    }
}

fn damaged(what: &str) -> ReadError {
    ReadError::Damaged(what.to_owned())
}

/// Who besides the user can change a file or directory, if somebody can.
fn shared(stat: &rustix::fs::Stat) -> Option<&'static str> {
    if stat.st_uid != rustix::process::geteuid().as_raw() {
        Some("belongs to another user")
    } else if stat.st_mode & 0o022 != 0 {
        Some("can be written by others than its owner")
    } else {
        None
    }
}

impl Store {
    pub(crate) fn open(path: &Path, size: u64) -> Result<Self, CacheError> {
        let fail = |error: io::Error| CacheError::Open { folder: path.to_owned(), error };
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(fail)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = rustix::fs::open(path, flags, Mode::empty()).map_err(|error| fail(error.into()))?;
        let stat = rustix::fs::fstat(&folder).map_err(|error| fail(error.into()))?;
        match shared(&stat) {
            Some(why) => Err(CacheError::Shared { folder: path.to_owned(), why }),
            None => Ok(Self { folder, size }),
        }
    }

    fn open_file(&self, name: &str) -> Result<(File, u64), ReadError> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = openat(&self.folder, name, flags, Mode::empty())?;
        let stat = rustix::fs::fstat(&file)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(damaged("it is no file"));
        }
        match shared(&stat) {
            Some(why) => Err(ReadError::Shared(why)),
            None => Ok((File::from(file), u64::try_from(stat.st_size).unwrap_or(0))),
        }
    }

    /// The list of inputs of this name, if there is one and it is whole.
    pub(crate) fn list(&self, name: &Hash) -> Option<Vec<u8>> {
        let (file, size) = self.open_file(&file_name(name, LIST)).ok()?;
        let content = usize::try_from(size.checked_sub(32).filter(|size| *size <= LARGEST_LIST)?).ok()?;
        let mut bytes = vec![0; content + 32];
        file.read_exact_at(&mut bytes, 0).ok()?;
        let hash = bytes.split_off(content);
        (blake3::hash(&bytes).as_bytes()[..] == hash[..]).then_some(bytes)
    }

    /// Keeps a list of inputs.
    pub(crate) fn put_list(&self, name: &Hash, content: &[u8]) -> io::Result<()> {
        let mut pending = self.begin()?;
        pending.append(content)?;
        let hash = blake3::hash(content);
        pending.append(hash.as_bytes())?;
        pending.rename(self, &file_name(name, LIST))
    }

    /// Opens an entry and reads its table of contents. It counts as used from now on.
    pub(crate) fn read(&self, name: &Hash) -> Result<Reading, ReadError> {
        let (file, size) = self.open_file(&file_name(name, ENTRY))?;
        let mut first = [0; HEADER];
        file.read_exact_at(&mut first, 0).map_err(|_| damaged("it is cut off"))?;
        let (start, hash) = read_header(&first, size).ok_or_else(|| damaged("its header is damaged"))?;
        // The file has these bytes: nothing is allocated on its word.
        let length = usize::try_from(size - start).map_err(|_| damaged("its header is damaged"))?;
        let mut meta = vec![0; length];
        file.read_exact_at(&mut meta, start).map_err(|_| damaged("it is cut off"))?;
        if blake3::hash(&meta) != hash {
            return Err(damaged("its table of contents is damaged"));
        }
        let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
        // What is on a file system that is read-only is not removed either.
        let _ = rustix::fs::futimens(&file, &Timestamps { last_access: now, last_modification: now });
        Ok(Reading { file, meta, size })
    }

    /// Takes an entry out that is damaged.
    pub(crate) fn remove(&self, name: &Hash) {
        let _ = rustix::fs::unlinkat(&self.folder, file_name(name, ENTRY), AtFlags::empty());
    }

    /// A new file under a name of its own.
    pub(crate) fn begin(&self) -> io::Result<Pending> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let folder = self.folder.try_clone()?;
        loop {
            let number = NUMBER.fetch_add(1, Ordering::Relaxed);
            let name = format!("{}-{number}.{TEMPORARY}", std::process::id());
            let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            match openat(&folder, &name, flags, Mode::RUSR | Mode::WUSR) {
                Ok(file) => return Ok(Pending { folder, file: File::from(file), name: Some(name), size: 0 }),
                // Of a process that had this number before.
                Err(Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Makes an entry of what was written: header, contents, table of contents. Gives its size.
    pub(crate) fn put(&self, name: &Hash, mut pending: Pending, meta: &[u8]) -> io::Result<u64> {
        let start = pending.size;
        pending.append(meta)?;
        let size = pending.size;
        if size > self.size {
            return Err(io::Error::other(format!("it has {size} bytes, and the cache may have {}", self.size)));
        }
        pending.file.write_all_at(&header(start, size, blake3::hash(meta)), 0)?;
        pending.rename(self, &file_name(name, ENTRY))?;
        self.make_room();
        Ok(size)
    }

    /// Removes what was used longest ago until the rest is as small as was asked for.
    fn make_room(&self) {
        let Ok(folder) = Dir::read_from(&self.folder) else { return };
        let mut files: Vec<(Age, u64, String)> = Vec::new();
        let mut now = Age::default();
        for one in folder.flatten() {
            let Ok(name) = one.file_name().to_str() else { continue };
            let Some((_, kind)) = name.rsplit_once('.') else { continue };
            if ![ENTRY, LIST, TEMPORARY].contains(&kind) {
                continue;
            }
            let Ok(stat) = statat(&self.folder, name, AtFlags::SYMLINK_NOFOLLOW) else { continue };
            let age = Age(stat.st_mtime, stat.st_mtime_nsec);
            now = now.max(age);
            let on_disk = u64::try_from(stat.st_size).unwrap_or(0);
            files.push((age, on_disk, name.to_owned()));
        }
        // What a writer left behind that died, and what others are writing.
        let (temporary, mut files): (Vec<_>, Vec<_>) =
            files.into_iter().partition(|(.., name)| name.ends_with(TEMPORARY));
        for (age, _, name) in temporary {
            if now.0 - age.0 > ABANDONED {
                let _ = rustix::fs::unlinkat(&self.folder, name, AtFlags::empty());
            }
        }
        let mut total: u64 = files.iter().map(|(_, size, _)| size).sum();
        files.sort_unstable();
        for (_, size, name) in files {
            if total <= self.size {
                break;
            }
            // Another process may have been faster.
            let _ = rustix::fs::unlinkat(&self.folder, name, AtFlags::empty());
            total -= size;
        }
    }
}

/// Seconds and nanoseconds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
struct Age(i64, u64);

const ENTRY: &str = "image";
const LIST: &str = "inputs";
const TEMPORARY: &str = "tmp";

fn file_name(name: &Hash, kind: &str) -> String {
    format!("{}.{kind}", blake3::Hash::from_bytes(*name).to_hex())
}

/// A file that is being written. Dropping it removes it.
#[derive(Debug)]
pub(crate) struct Pending {
    folder: OwnedFd,
    file: File,
    name: Option<String>,
    size: u64,
}

impl Pending {
    /// Keeps the place of a header.
    pub(crate) fn skip_header(&mut self) {
        self.size = HEADER as u64;
    }

    /// Writes `bytes` at the end; gives where they are.
    pub(crate) fn append(&mut self, bytes: &[u8]) -> io::Result<u64> {
        let at = self.size;
        self.file.write_all_at(bytes, at)?;
        self.size += bytes.len() as u64;
        Ok(at)
    }

    fn rename(mut self, store: &Store, name: &str) -> io::Result<()> {
        let Some(own) = self.name.as_ref() else { return Ok(()) };
        rustix::fs::renameat(&self.folder, own, &store.folder, name)?;
        self.name = None;
        Ok(())
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if let Some(name) = self.name.take() {
            let _ = rustix::fs::unlinkat(&self.folder, name, AtFlags::empty());
        }
    }
}

impl Reading {
    /// Reads what was stored at `position` into `bytes`, and says whether it is what was stored.
    pub(crate) fn content(&self, position: u64, hash: &Hash, bytes: &mut [u8]) -> Result<(), ReadError> {
        let mut hasher = blake3::Hasher::new();
        let mut at = position;
        for chunk in bytes.chunks_mut(CHUNK) {
            self.file.read_exact_at(chunk, at).map_err(|_| damaged("it is cut off"))?;
            hasher.update(chunk);
            at += chunk.len() as u64;
        }
        if hasher.finalize().as_bytes() == hash { Ok(()) } else { Err(damaged("a segment is damaged")) }
    }
}
