//! A file for each image, from which symbolizers read what its code is called.
//!
//! You name images; each that the controller can describe gets an anonymous file (memfd_create(2)) with the dylib's name and the image's symbols and debug information, and
//! a path to it: `/proc/self/fd/N`, of which readlink(2) says `/memfd:NAME (deleted)`. It is made when somebody asks, stays as long as the image, and is inherited by forks
//! and by nothing else. Its number is high, so that the program's own files have the numbers that they would have.
//!
//! Where the controller cannot be asked there is no file: in a resolver of an indirect function, inside of another question (a signal handler, a host's panic), in a
//! forked child whose parent has not made one. A process may have few descriptors: at most a quarter of them are taken.
//!
//! `unsafe` because a descriptor is a number that the program may have closed, and given to another file: each use checks whose it is.
#![allow(unsafe_code)]

use crate::context;
use crate::image::Image;
use crate::session::Session;
use crate::sync::Arc;
use crate::sync::leaf::Mutex;
use rustix::fs::{MemfdFlags, SealFlags};
use rustix::process::{Resource, getrlimit};
use std::cell::Cell;
use std::ffi::{CStr, CString, c_char};
use std::io::Write as _;
use std::os::fd::{BorrowedFd, IntoRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Files that there are.
static COUNT: AtomicUsize = AtomicUsize::new(0);
/// The highest number that is asked for: the system's table of descriptors grows with it.
const HIGHEST: u64 = 4096;

/// The file of one image, if it has one.
#[derive(Debug, Default)]
pub(super) struct FileOf(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// The controller has answered; nothing changes that.
    answered: bool,
    file: Option<File>,
    /// Every path that was handed out: C code holds pointers to them.
    paths: Vec<CString>,
}

/// A descriptor of ours, which the program may have closed.
#[derive(Debug)]
struct File {
    number: RawFd,
    /// Device and inode of what it is a descriptor of.
    identity: (u64, u64),
}

impl FileOf {
    /// The path of the file, if there is one. The pointer is good as long as the image.
    pub(super) fn path(&self) -> Option<*const c_char> {
        let state = self.0.lock();
        state.file.as_ref()?;
        state.paths.last().map(|path| path.as_ptr())
    }

    /// Whether there could be one and is none; one that the program has closed is made again.
    fn is_wanted(&self) -> bool {
        let mut state = self.0.lock();
        if state.file.as_ref().is_some_and(|file| !file.is_ours()) {
            state.file = None;
            state.answered = false;
        }
        !state.answered
    }

    fn put(&self, file: Option<File>) {
        let mut state = self.0.lock();
        state.answered = true;
        if let Some(path) = file.as_ref().and_then(|file| CString::new(format!("/proc/self/fd/{}", file.number)).ok()) {
            state.paths.push(path);
            state.file = file;
        }
    }
}

impl File {
    /// An anonymous file called `name` with these contents.
    fn new(name: &CStr, contents: &[u8]) -> std::io::Result<Self> {
        let made = rustix::fs::memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
        let mut made = std::fs::File::from(made);
        made.write_all(contents)?;
        let made = OwnedFd::from(made);
        let all = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
        rustix::fs::fcntl_add_seals(&made, all)?;
        let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        let high = (limit / 2).min(HIGHEST) as RawFd;
        // All of them may be taken up there: then the number is what it is.
        let made = rustix::io::fcntl_dupfd_cloexec(&made, high).unwrap_or(made);
        let stat = rustix::fs::fstat(&made)?;
        COUNT.fetch_add(1, Ordering::Relaxed);
        Ok(Self { number: made.into_raw_fd(), identity: (stat.st_dev, stat.st_ino) })
    }

    fn is_ours(&self) -> bool {
        // SAFETY: only asked what it is; a number that is no descriptor is an error.
        let number = unsafe { BorrowedFd::borrow_raw(self.number) };
        rustix::fs::fstat(number).is_ok_and(|stat| (stat.st_dev, stat.st_ino) == self.identity)
    }
}

impl Drop for File {
    fn drop(&mut self) {
        COUNT.fetch_sub(1, Ordering::Relaxed);
        if self.is_ours() {
            // SAFETY: it is what this made, and nobody else owns it.
            unsafe { rustix::io::close(self.number) };
        }
    }
}

crate::sync::thread_local! {
    static ASKING: Cell<bool> = const { Cell::new(false) };
}

/// While this lives, this thread asks.
struct Asking;

impl Asking {
    /// `None` where nothing can be asked.
    fn begin() -> Option<Self> {
        if context::is_resolving() {
            return None;
        }
        // A thread that is being torn down asks nothing.
        let before = ASKING.try_with(|asking| asking.replace(true)).unwrap_or(true);
        (!before).then_some(Self)
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        let _ = ASKING.try_with(|asking| asking.set(false));
    }
}

/// How many files there may be.
fn most() -> usize {
    getrlimit(Resource::Nofile).current.map_or(usize::MAX, |limit| (limit / 4) as usize)
}

/// Makes the files that these images have not, as far as that can be.
pub(super) fn make(images: &[Arc<Image>]) {
    let mut wanting: Vec<&Arc<Image>> = images.iter().filter(|image| image.shown.file.is_wanted()).collect();
    wanting.truncate(most().saturating_sub(COUNT.load(Ordering::Relaxed)));
    if wanting.is_empty() {
        return;
    }
    let Some(_asking) = Asking::begin() else { return };
    let here = std::process::id();
    wanting.retain(|image| image.process == here);
    while let Some(first) = wanting.first() {
        let session = first.session.upgrade();
        let (of_session, others) = wanting.iter().partition(|image| image.session.ptr_eq(&first.session));
        if let Some(session) = session {
            describe(&session, of_session);
        }
        wanting = others;
    }
}

/// Asks the controller about images of one session.
fn describe(session: &Session, images: Vec<&Arc<Image>>) {
    let mut dylibs: Vec<_> = images.iter().map(|image| image.dylib).collect();
    dylibs.dedup();
    let Ok(descriptions) = session.describe_images(&dylibs) else { return };
    for image in images {
        let file = descriptions.iter().find(|described| described.image == image.id.number());
        let file = file.filter(|described| !described.file.is_empty());
        let made = file.map(|described| File::new(&image.name, &described.file)).transpose();
        if let Err(error) = &made {
            tracing::debug!(%error, image = %image.id, "no file for its names");
        }
        image.shown.file.put(made.ok().flatten());
    }
}
