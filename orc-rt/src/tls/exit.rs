//! Destructors of thread-local objects (`__cxa_thread_atexit`, Itanium C++ ABI 3.3.6 and its C library counterpart).
//!
//! Each is registered with the C library too, so that at the end of a thread ours and those of the system's libraries run in the exact
//! reverse order of their registration. What the C library does not know is when code goes: a closing dylib's destructors run first on
//! the thread that closes it; those of other threads keep its memory until they have run (rule 21). `exit` runs those of its
//! thread before every handler, as in C++.
//!
//! `unsafe` because nodes are handed to the C library as pointers.
#![allow(unsafe_code)]

use crate::atexit::Handler;
use crate::call;
use crate::context::Running;
use crate::image::{Image, ImageId};
use crate::keepalive::Keepalive;
use crate::session::Session;
use crate::sync::{Arc, Weak};
use crate::waits::Activity;
use dylib_graph::DylibId;
use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::ptr;

/// A registered destructor: owned by the C library's list, and linked into its thread's list until it has run.
struct Node {
    handler: Handler,
    session: Weak<Session>,
    dylib: DylibId,
    /// The image whose code registered it.
    image: ImageId,
    /// Keeps the code.
    inside: Cell<Option<Keepalive>>,
    /// The one that was registered before.
    next: Cell<*mut Node>,
    ran: Cell<bool>,
}

crate::sync::thread_local! {
    /// The latest.
    static NODES: Cell<*mut Node> = const { Cell::new(ptr::null_mut()) };
}

/// The C library's function, where it has one (glibc).
type Register = unsafe extern "C" fn(unsafe extern "C" fn(*mut c_void), *mut c_void, *const c_void) -> c_int;

fn system_register() -> Option<Register> {
    static FOUND: std::sync::OnceLock<Option<u64>> = std::sync::OnceLock::new();
    let found = *FOUND.get_or_init(|| crate::native::system_symbol(c"__cxa_thread_atexit_impl"));
    // SAFETY: the function of that name has this signature.
    found.map(|address| unsafe { std::mem::transmute::<usize, Register>(address as usize) })
}

/// Runs `handler` when this thread ends, or when `image` goes and this thread has it go.
pub(crate) fn register_destructor(session: &Arc<Session>, image: &Image, handler: Handler) -> c_int {
    let Image { dylib, id, .. } = *image;
    let node = Box::into_raw(Box::new(Node {
        handler,
        session: Arc::downgrade(session),
        dylib,
        image: id,
        inside: Cell::new(session.enter(dylib, Some(id), Activity::HasThreadLocals)),
        next: Cell::new(NODES.with(Cell::get)),
        ran: Cell::new(false),
    }));
    NODES.with(|nodes| nodes.set(node));
    let Some(register) = system_register() else {
        // Without one it runs when its dylib is closed or the program ends.
        return 0;
    };
    // SAFETY: the node lives until `thread_ends` is called with it; the handle is this module's, so that it stays as long.
    unsafe { register(thread_ends, node.cast(), (&raw const __dso_handle).cast()) }
}

/// What the C library does, for code that is not ours; -1 where it cannot.
///
/// # Safety
/// As the Itanium ABI says of `__cxa_thread_atexit`.
pub(crate) unsafe fn register_with_the_system(
    function: *mut c_void,
    argument: *mut c_void,
    dso_handle: *const c_void,
) -> c_int {
    let Some(register) = system_register() else { return -1 };
    // SAFETY: the caller says that it is such a function.
    let function = unsafe { std::mem::transmute::<*mut c_void, unsafe extern "C" fn(*mut c_void)>(function) };
    // SAFETY: the caller's promise.
    unsafe { register(function, argument, dso_handle) }
}

unsafe extern "C" {
    /// The identity of the module that this is linked into (Itanium C++ ABI 3.3.5).
    static __dso_handle: u8;
}

/// # Safety
/// Called by the C library, once for each node, on its thread.
unsafe extern "C" fn thread_ends(node: *mut c_void) {
    let node: *mut Node = node.cast();
    // SAFETY: made by `register_destructor`, for this call.
    let node_ref = unsafe { &*node };
    if !node_ref.ran.get() {
        unlink(node);
        run(node_ref);
    }
    // SAFETY: as above; it is not in the list any more.
    drop(unsafe { Box::from_raw(node) });
}

fn unlink(node: *mut Node) {
    let mut at = NODES.with(Cell::get);
    // SAFETY: every node in the list is alive: it is taken out before it is freed.
    let next = unsafe { (*node).next.get() };
    if at == node {
        NODES.with(|nodes| nodes.set(next));
        return;
    }
    while !at.is_null() {
        // SAFETY: as above.
        let this = unsafe { &*at };
        if this.next.get() == node {
            this.next.set(next);
            return;
        }
        at = this.next.get();
    }
}

fn run(node: &Node) {
    node.ran.set(true);
    let inside = node.inside.take();
    if inside.is_none() {
        return;
    }
    if let Some(session) = node.session.upgrade() {
        let _running = Running::enter(&session, Some(node.dylib));
        // SAFETY: executed code registered it, and its memory is kept by the token.
        unsafe { call::handler(node.handler, 0) };
    }
    drop(inside);
}

/// A destructor that waits for the end of its thread, as those see it who look for some.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Waiting {
    pub(crate) dylib: DylibId,
    pub(crate) image: ImageId,
    /// The address of the function.
    pub(crate) function: u64,
}

/// Runs the destructors that this thread has in `session` and `which` picks, the latest first, those included that are registered
/// meanwhile.
pub(crate) fn run_destructors(session: &Session, which: impl Fn(Waiting) -> bool) {
    let find = || {
        let mut at = NODES.with(Cell::get);
        while !at.is_null() {
            // SAFETY: every node in the list is alive.
            let node = unsafe { &*at };
            let waiting = Waiting { dylib: node.dylib, image: node.image, function: node.handler.function() };
            if ptr::eq(node.session.as_ptr(), session) && which(waiting) {
                return Some(at);
            }
            at = node.next.get();
        }
        None
    };
    while let Some(node) = find() {
        unlink(node);
        // SAFETY: it stays until the C library calls `thread_ends`, which will find that it has run.
        run(unsafe { &*node });
    }
}
