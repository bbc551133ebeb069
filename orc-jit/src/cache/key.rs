//! The name of an entry: what a batch depends on that is known before it is linked.
//!
//! Two names. A [`Request`] is what is asked for: options, dylibs, paths; a list of inputs is kept under its name. [`inputs`] adds the content of every file:
//! that is the name of the entry. With the list, files that are as they were need not be read for that.

use super::store::{Hash, Store};
use dispatch::packed::from_bytes;
use dispatch::{packed::to_bytes, packed_struct};
use jitlink::FileMap;
use rustix::fs::{CWD, StatxFlags, statx};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// A file's times may stand still for so long while it changes, in seconds: what was younger when it was hashed is hashed again.
const RACY: i64 = 2;

/// What is asked for, being hashed.
#[derive(Debug)]
pub(crate) struct Request {
    hasher: blake3::Hasher,
    files: Vec<PathBuf>,
    relative: bool,
}

impl Request {
    /// Of this linker: an entry of another one is another entry.
    pub(crate) fn new() -> Self {
        let mut request = Self { hasher: blake3::Hasher::new(), files: Vec::new(), relative: false };
        request.bytes(env!("CARGO_PKG_VERSION").as_bytes());
        request.bytes(env!("ORC_JIT_SOURCES").as_bytes());
        request.bytes(jitlink::moving::LINKER.as_bytes());
        request
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.hasher.update(bytes);
    }

    pub(crate) fn number(&mut self, number: u64) {
        self.hasher.update(&number.to_le_bytes());
    }

    /// An input that is a file.
    pub(crate) fn file(&mut self, path: &Path) {
        self.relative |= path.is_relative();
        self.bytes(path.as_os_str().as_bytes());
        self.files.push(path.to_owned());
    }

    /// An input that is in memory.
    pub(crate) fn memory(&mut self, name: &str, content: &[u8]) {
        self.bytes(name.as_bytes());
        self.bytes(blake3::hash(content).as_bytes());
    }

    fn finish(mut self) -> (Hash, Vec<PathBuf>) {
        if self.relative {
            let here = std::env::current_dir().unwrap_or_default();
            self.bytes(here.as_os_str().as_bytes());
        }
        (*self.hasher.finalize().as_bytes(), self.files)
    }
}

packed_struct! {
    /// What a file was.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    struct Stat {
        device: u64,
        inode: u64,
        size: u64,
        modified: i64,
        modified_nanoseconds: u32,
        changed: i64,
        changed_nanoseconds: u32,
    }

    /// A file that was hashed.
    #[derive(Debug, Clone, PartialEq, Eq)]
    struct Known<'a> {
        stat: Stat,
        /// It was old enough when it was hashed.
        settled: bool,
        hash: &'a [u8],
    }
}

impl Stat {
    fn of(path: &Path) -> std::io::Result<Self> {
        let wanted = StatxFlags::INO | StatxFlags::SIZE | StatxFlags::MTIME | StatxFlags::CTIME;
        let stat = statx(CWD, path, rustix::fs::AtFlags::empty(), wanted)?;
        Ok(Self {
            device: u64::from(stat.stx_dev_major) << 32 | u64::from(stat.stx_dev_minor),
            inode: stat.stx_ino,
            size: stat.stx_size,
            modified: stat.stx_mtime.tv_sec,
            modified_nanoseconds: stat.stx_mtime.tv_nsec,
            changed: stat.stx_ctime.tv_sec,
            changed_nanoseconds: stat.stx_ctime.tv_nsec,
        })
    }

    fn is_settled(&self, now: i64) -> bool {
        self.modified.max(self.changed) < now - RACY
    }
}

/// The files of a request, as they are.
#[derive(Debug)]
pub(crate) struct Inputs {
    request: Hash,
    files: Vec<Input>,
    /// When they were looked at, in seconds since 1970.
    now: i64,
    /// The list beside the entries says the same.
    listed: bool,
    /// Why no list helped.
    why: &'static str,
}

#[derive(Debug)]
struct Input {
    path: PathBuf,
    stat: Stat,
    hash: Option<Hash>,
    /// Its hash is known to be that of what `stat` describes, whenever it was computed.
    settled: bool,
}

/// Looks at the files of a request. Reads those that have changed, or may have, since they were listed. `None`: one is not there.
pub(crate) fn inputs(store: &Store, request: Request) -> Option<Inputs> {
    let (request, paths) = request.finish();
    let list = store.list(&request);
    let known: Option<Vec<Known<'_>>> = list.as_deref().and_then(|list| from_bytes(list).ok());
    let known = known.filter(|known| known.len() == paths.len());
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64);
    let mut listed = known.is_some() || paths.is_empty();
    let mut files = Vec::with_capacity(paths.len());
    let why = if known.is_some() { "the inputs have changed" } else { "there is no entry" };
    for (index, path) in paths.into_iter().enumerate() {
        let stat = Stat::of(&path).ok()?;
        let mut input = Input { path, stat, hash: None, settled: false };
        if let Some(known) = known.as_ref().and_then(|known| known.get(index)) {
            if known.stat == stat && known.settled {
                input.hash = known.hash.try_into().ok();
                input.settled = true;
            } else {
                listed = false;
                input.read(now)?;
            }
        } else if !stat.is_settled(now) {
            // Hashed before it is linked and after: its times would not show a change in between.
            input.read(now)?;
        }
        files.push(input);
    }
    Some(Inputs { request, files, now, listed, why })
}

impl Input {
    /// Hashes it, if it is still what was looked at.
    fn read(&mut self, now: i64) -> Option<()> {
        let map = FileMap::open(&self.path).ok()?;
        let hash = *blake3::hash(&map).as_bytes();
        if Stat::of(&self.path).ok()? != self.stat {
            return None;
        }
        self.hash = Some(hash);
        self.settled = self.stat.is_settled(now);
        Some(())
    }
}

impl Inputs {
    /// The name of the entry, if every content is known.
    pub(crate) fn name(&self) -> Option<Hash> {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.request);
        for file in &self.files {
            hasher.update(&file.hash?);
        }
        Some(*hasher.finalize().as_bytes())
    }

    /// Why there is no entry, if there is none.
    pub(crate) fn why(&self) -> &'static str {
        self.why
    }

    /// Reads what is not hashed yet. Says whether all files are what they were when they were looked at: before and after everything that was done with them
    /// in between.
    pub(crate) fn complete(&mut self) -> bool {
        let now = self.now;
        self.files.iter_mut().all(|file| match file.hash {
            None => file.read(now).is_some(),
            before if !file.settled => file.read(now).is_some() && file.hash == before,
            Some(_) => Stat::of(&file.path).is_ok_and(|stat| stat == file.stat),
        })
    }

    /// Keeps the list, if it says something new.
    pub(crate) fn keep(&mut self, store: &Store) -> std::io::Result<()> {
        if self.listed {
            return Ok(());
        }
        let empty = &[][..];
        let known = |file: &Input| (file.stat, file.settled, file.hash);
        let known: Vec<_> = self.files.iter().map(known).collect();
        let list: Vec<Known<'_>> = known
            .iter()
            .map(|(stat, settled, hash)| Known {
                stat: *stat,
                settled: *settled,
                hash: hash.as_ref().map_or(empty, |hash| hash),
            })
            .collect();
        store.put_list(&self.request, &to_bytes(&list))?;
        self.listed = true;
        Ok(())
    }
}
