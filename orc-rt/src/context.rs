//! What a thread is doing: its number, whose code it is running, its last `dlerror`.

use crate::session::Session;
use crate::sync::{Arc, Weak};
use dylib_graph::{DylibId, VisitorId};
use std::cell::{Cell, RefCell};
use std::ffi::CString;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicU64, Ordering};

crate::sync::thread_local! {
    static VISITOR: Cell<u64> = const { Cell::new(0) };
    static RESOLVING: Cell<u32> = const { Cell::new(0) };
    static RUNNING: RefCell<Vec<Frame>> = const { RefCell::new(Vec::new()) };
    static ERROR: RefCell<LastError> = const { RefCell::new(LastError { pending: None, shown: None }) };
}

/// Code of a session that this thread is inside of.
struct Frame {
    session: Weak<Session>,
    dylib: Option<DylibId>,
}

/// `jit_dlerror` hands out a pointer, so the text that was shown lives until the next one is.
struct LastError {
    pending: Option<Pending>,
    shown: Option<CString>,
}

enum Pending {
    Text(CString),
    /// Put into words when somebody asks: few do of a symbol that was not found.
    Later(Box<dyn FnOnce() -> String>),
}

impl Pending {
    fn text(self) -> CString {
        match self {
            Self::Text(text) => text,
            Self::Later(words) => as_c(&words()),
        }
    }
}

fn as_c(text: &str) -> CString {
    CString::new(text.replace('\0', "?")).unwrap_or_default()
}

/// The system numbers threads with fewer bits (`PID_MAX_LIMIT` is 2^22).
const THREAD_BITS: u32 = 24;

/// This thread's number, which no other thread ever has: a count, and the system's number of the thread.
pub(crate) fn visitor() -> VisitorId {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    VISITOR.with(|visitor| {
        if visitor.get() == 0 {
            let thread = rustix::thread::gettid().as_raw_nonzero().get() as u64;
            visitor.set(NEXT.fetch_add(1, Ordering::Relaxed) << THREAD_BITS | thread);
        }
        VisitorId(visitor.get())
    })
}

/// While this lives, this thread runs resolvers of indirect functions, inside of the registration of their code.
pub(crate) struct Resolving {
    _thread: PhantomData<*const ()>,
}

impl Resolving {
    pub(crate) fn begin() -> Self {
        RESOLVING.with(|depth| depth.set(depth.get() + 1));
        Self { _thread: PhantomData }
    }
}

impl Drop for Resolving {
    fn drop(&mut self) {
        RESOLVING.with(|depth| depth.set(depth.get() - 1));
    }
}

/// Whether this thread is inside of a resolver.
pub(crate) fn is_resolving() -> bool {
    RESOLVING.with(Cell::get) > 0
}

/// The system's number of the thread that is `visitor`.
pub(crate) fn thread_of(visitor: VisitorId) -> u32 {
    (visitor.0 & ((1 << THREAD_BITS) - 1)) as u32
}

/// While this lives, calls from code that no image covers are taken to come from `session` (and `dylib`).
pub(crate) struct Running {
    /// Frames nest, so a guard stays on its thread.
    _thread: PhantomData<*const ()>,
}

impl Running {
    pub(crate) fn enter(session: &Arc<Session>, dylib: Option<DylibId>) -> Self {
        let frame = Frame { session: Arc::downgrade(session), dylib };
        // A destructor of a thread-local object may run when this is gone.
        let _ = RUNNING.try_with(|frames| frames.borrow_mut().push(frame));
        Self { _thread: PhantomData }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // A thread that is being torn down has no frames any more.
        let _ = RUNNING.try_with(|frames| frames.borrow_mut().pop());
    }
}

/// The innermost session whose code this thread is running, and which dylib's.
pub(crate) fn running() -> Option<(Arc<Session>, Option<DylibId>)> {
    RUNNING
        .try_with(|frames| frames.borrow().last().and_then(|frame| Some((frame.session.upgrade()?, frame.dylib))))
        .ok()
        .flatten()
}

/// Sets what `jit_dlerror` returns next on this thread (rule 17).
pub(crate) fn set_error(text: &str) {
    set_pending(Pending::Text(as_c(text)));
}

/// As [`set_error`], with a text that is made when it is asked for.
pub(crate) fn set_error_later(words: impl FnOnce() -> String + 'static) {
    set_pending(Pending::Later(Box::new(words)));
}

fn set_pending(pending: Pending) {
    // The old one may hold a session: it goes when nothing is borrowed.
    let _old = ERROR.try_with(|error| error.borrow_mut().pending.replace(pending));
}

/// The pending error of this thread, which is none afterwards.
pub(crate) fn take_error() -> Option<String> {
    let taken = ERROR.try_with(|error| error.borrow_mut().pending.take());
    taken.ok().flatten().map(|pending| pending.text().to_string_lossy().into_owned())
}

/// Like [`take_error`], for C: a pointer that is valid until the next call on this thread.
pub(crate) fn take_error_pointer() -> *const std::ffi::c_char {
    let taken = ERROR.try_with(|error| error.borrow_mut().pending.take());
    let text = taken.ok().flatten().map(Pending::text);
    ERROR
        .try_with(|error| {
            let mut error = error.borrow_mut();
            error.shown = text;
            error.shown.as_ref().map_or(std::ptr::null(), |text| text.as_ptr())
        })
        .unwrap_or(std::ptr::null())
}
