//! The cache of linked images: what a batch made, stored in a directory, so that the next start does not link.
//!
//! **You give** a directory that only its owner can write, and how large it may become. **You get** a [`Cache`] for
//! [`SessionOptions::cache`](crate::SessionOptions::cache): an open whose inputs, options and surroundings are those of an earlier one reads the finished
//! image, adds what is different now to the fields that hold addresses, and goes on as if it had linked. **Not here:** what is taken from a batch and how
//! it becomes one again (`batch/cached.rs`), and which fields hold addresses ([`jitlink::moving`]).
//!
//! ```no_run
//! use orc_jit::cache::{Cache, CacheOptions};
//! use orc_jit::{InProcess, Session, SessionOptions};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let cache = Cache::open("cache/images", CacheOptions::default())?;
//! let session = Session::new(InProcess::new(), SessionOptions { cache: Some(cache.clone()), ..SessionOptions::default() })?;
//! session.add_dylib("main")?.add_object_file("app.o")?;
//! session.run("main", "main", &["app".into()])?;
//! assert_eq!(cache.statistics().hits + cache.statistics().misses, 1);
//! # Ok(())
//! # }
//! ```
//!
//! # When an entry is used
//!
//! An entry's name is a hash of everything that the linked bytes depend on and that is known before a link: this linker (its sources), the options, every dylib in
//! reach with its link order, and every input, in order, with its path and the hash of its content. Contents are not hashed at each start: a list
//! beside the entries says what each file's device, inode, size and times were when it was hashed, and counts only if the file was two seconds old by then,
//! since a file can change within the resolution of its times.
//!
//! What the executor's process offers is not in the name: it is asked for, as in a link, because addresses differ in each process anyway. An answer of
//! another kind than the entry was linked with (a name that is missing now or is there now, a function that was data) makes it unusable, and the batch is
//! linked anew. So a shared library may be updated without a new link, as under a native loader.
//!
//! # Trust
//!
//! An entry is code that will run. The directory must belong to the user who runs, and be writable by nobody else; so must each entry. That is who is trusted:
//! hashes (BLAKE3) are over every byte of an entry and find damage, not forgery. Nothing of an entry runs, or is even decoded, before its hash was found right.
//! Entries hold what the inputs hold, and the paths by which they were given.

mod entry;
mod key;
mod store;

pub(crate) use entry::{
    Digest, External, FIXED, ImageEntry, KeptObject, MapBlock, Meta, NAME_SIZE, NameTable, Segment, Source,
    THREAD_LOCAL, Thread, anchor, anchor_number,
};
pub(crate) use key::{Inputs, Request, inputs};
pub(crate) use store::{Pending, ReadError, Reading, Store};

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// A directory of linked images. Cheap to clone; sessions and processes may share one.
#[derive(Clone, Debug)]
pub struct Cache {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    counts: [AtomicU64; 5],
    listener: Mutex<Option<Listener>>,
}

type Listener = Arc<dyn Fn(&CacheEvent) + Send + Sync>;

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inner").field("store", &self.store).finish_non_exhaustive()
    }
}

/// How a [`Cache`] is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CacheOptions {
    /// The size in bytes that the directory is kept under: what was used longest ago goes first. An entry that is larger is not stored.
    pub size: u64,
}

impl Default for CacheOptions {
    /// One GiB.
    fn default() -> Self {
        Self { size: 1 << 30 }
    }
}

/// What a cache was good for, since it was opened here.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct CacheStatistics {
    /// Batches that were taken from it.
    pub hits: u64,
    /// Batches that had to be linked, and could have been taken from it.
    pub misses: u64,
    /// Entries that were there and could not be used: damaged, or not for this process.
    pub rejected: u64,
    /// Bytes of entries that were read.
    pub read: u64,
    /// Bytes of entries that were written.
    pub written: u64,
}

/// What became of one batch.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CacheEvent {
    /// It was taken from the cache: so many bytes.
    Hit {
        /// The size of the entry.
        bytes: u64,
    },
    /// It was linked; why.
    Miss {
        /// In words.
        why: String,
    },
    /// An entry was there and could not be used. It was removed if it is damaged; a miss follows.
    Rejected {
        /// In words.
        why: String,
    },
    /// It was linked, and is not of a kind that is stored.
    NotStored {
        /// In words.
        why: String,
    },
    /// It was stored: so many bytes.
    Stored {
        /// The size of the entry.
        bytes: u64,
    },
    /// It could not be stored: the directory is full or read-only. The program is none the worse.
    Failed {
        /// In words.
        why: String,
    },
}

impl std::fmt::Display for CacheEvent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Hit { bytes } => write!(f, "hit, {bytes} bytes"),
            Self::Miss { why } => write!(f, "miss: {why}"),
            Self::Rejected { why } => write!(f, "an entry cannot be used: {why}"),
            Self::NotStored { why } => write!(f, "not stored: {why}"),
            Self::Stored { bytes } => write!(f, "stored, {bytes} bytes"),
            Self::Failed { why } => write!(f, "cannot store: {why}"),
        }
    }
}

/// Why a directory cannot be a cache.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// It cannot be made or opened.
    #[error("cannot open the cache {}: {error}", folder.display())]
    Open {
        /// Which.
        folder: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// Somebody else could put code there.
    #[error(
        "the cache {} {why}, and what is in it will run: give a directory that belongs to you and that nobody else can write, or one that does not exist yet",
        folder.display()
    )]
    Shared {
        /// Which.
        folder: PathBuf,
        /// Who.
        why: &'static str,
    },
}

impl Cache {
    /// Opens the directory, and makes it (for its owner alone) if it is not there.
    ///
    /// # Errors
    /// It cannot be made or opened, is not the user's, or others can write to it.
    pub fn open(folder: impl AsRef<Path>, options: CacheOptions) -> Result<Self, CacheError> {
        let store = Store::open(folder.as_ref(), options.size)?;
        let inner = Inner { store, counts: Default::default(), listener: Mutex::default() };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// What it was good for, through this value and its clones.
    #[must_use]
    pub fn statistics(&self) -> CacheStatistics {
        let [hits, misses, rejected, read, written] =
            [0, 1, 2, 3, 4].map(|index| self.inner.counts[index].load(Ordering::Relaxed));
        CacheStatistics { hits, misses, rejected, read, written }
    }

    /// Whom to tell what became of each batch, in place of the one before.
    pub fn on_event(&self, listener: impl Fn(&CacheEvent) + Send + Sync + 'static) {
        *self.inner.listener.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(listener));
    }

    pub(crate) fn tell(&self, event: CacheEvent) {
        let count = |index: usize, by: u64| self.inner.counts[index].fetch_add(by, Ordering::Relaxed);
        match &event {
            CacheEvent::Hit { bytes } => {
                count(0, 1);
                count(3, *bytes);
            }
            CacheEvent::Miss { .. } => {
                count(1, 1);
            }
            CacheEvent::Rejected { .. } => {
                count(2, 1);
            }
            CacheEvent::Stored { bytes } => {
                count(4, *bytes);
            }
            CacheEvent::NotStored { .. } | CacheEvent::Failed { .. } => {}
        }
        tracing::debug!("image cache: {event}");
        let listener = self.inner.listener.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(listener) = listener {
            listener(&event);
        }
    }

    pub(crate) fn store(&self) -> &Store {
        &self.inner.store
    }
}
