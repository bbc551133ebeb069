//! Destructors of thread-local objects (`__cxa_thread_atexit`, Itanium C++ ABI 3.3.6 and its C library counterpart).
//!
//! Each is registered with the C library too, so that at the end of a thread ours and those of the system's libraries run in the exact
//! reverse order of their registration. What the C library does not know is when code goes: a closing dylib's destructors run first on
//! the thread that closes it; those of other threads keep its memory until they have run (rule 21). `exit` runs those of its
//! thread before every handler, as in C++.
//!
//! What the C library was told once it calls at the end of the thread, not before. So what it holds are *slots*: a destructor has one, and gives it back
//! when it ran early. A thread that opens and closes for long uses slots again; then the order among ours is exact still, while a
//! library's destructor that was registered in between may run before one of ours that is newer.
//!
//! `unsafe` because slots are handed to the C library as pointers.
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

/// A registered destructor, in its thread's list until it runs.
struct Node {
    handler: Handler,
    session: Weak<Session>,
    dylib: DylibId,
    /// The image whose code registered it.
    image: ImageId,
    /// Keeps the code.
    inside: Option<Keepalive>,
    /// The one that was registered before.
    next: *mut Node,
    /// Null when no slot will call.
    slot: *mut Slot,
}

/// An entry of the C library's list, which owns it: where destructors of the thread have their turn.
struct Slot {
    /// Counts slots of the thread, as the C library has them.
    number: u64,
    /// Null when it is free.
    node: *mut Node,
    /// The next free one.
    next: *mut Slot,
}

/// So many slots of a thread are free before one is used again.
const FREE_SLOTS: u64 = 64;

/// What a thread has registered. Without a destructor of its own, since it must be there when the last of them runs.
struct Here {
    /// The latest.
    nodes: Cell<*mut Node>,
    slots: Cell<u64>,
    free: Cell<*mut Slot>,
    free_count: Cell<u64>,
}

crate::sync::thread_local! {
    static HERE: Here = const {
        Here { nodes: Cell::new(ptr::null_mut()), slots: Cell::new(0), free: Cell::new(ptr::null_mut()), free_count: Cell::new(0) }
    };
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
    let Image { dylib, id: image, .. } = *image;
    let (inside, session) = (session.enter(dylib, Some(image), Activity::HasThreadLocals), Arc::downgrade(session));
    HERE.with(|here| {
        let slot = here.slot();
        let next = here.nodes.get();
        let node = Box::into_raw(Box::new(Node {
            handler,
            session,
            dylib,
            image,
            inside,
            next,
            slot: slot.unwrap_or_default(),
        }));
        here.nodes.set(node);
        // Without a slot it runs when its dylib is closed or the program ends.
        let Some(slot) = slot else { return 0 };
        // SAFETY: a slot lives until the C library calls with it, and is this thread's.
        unsafe { (*slot).node = node };
        0
    })
}

impl Here {
    /// A slot for the latest destructor; `None` where the C library has none to give.
    fn slot(&self) -> Option<*mut Slot> {
        if self.free_count.get() > FREE_SLOTS {
            return Some(self.take_latest_free());
        }
        let register = system_register()?;
        self.slots.set(self.slots.get() + 1);
        let slot =
            Box::into_raw(Box::new(Slot { number: self.slots.get(), node: ptr::null_mut(), next: ptr::null_mut() }));
        // SAFETY: the slot lives until `thread_ends` is called with it; the handle is this module's, so that it stays as long.
        let result = unsafe { register(thread_ends, slot.cast(), (&raw const __dso_handle).cast()) };
        if result == 0 {
            return Some(slot);
        }
        // SAFETY: made above, and the C library has not taken it.
        drop(unsafe { Box::from_raw(slot) });
        None
    }

    /// The free slot whose turn comes first. There is one.
    fn take_latest_free(&self) -> *mut Slot {
        let mut latest = self.free.get();
        let mut at = latest;
        while !at.is_null() {
            // SAFETY: free slots are alive: they are taken out before the C library's call frees them.
            unsafe {
                if (*at).number > (*latest).number {
                    latest = at;
                }
                at = (*at).next;
            }
        }
        self.take_free(latest);
        latest
    }

    /// Takes `slot` out of the free ones, if it is one of them.
    fn take_free(&self, slot: *mut Slot) {
        let mut before = ptr::null_mut::<Slot>();
        let mut at = self.free.get();
        while !at.is_null() {
            // SAFETY: as above.
            let next = unsafe { (*at).next };
            if at == slot {
                if before.is_null() {
                    self.free.set(next);
                } else {
                    // SAFETY: as above.
                    unsafe { (*before).next = next };
                }
                self.free_count.set(self.free_count.get() - 1);
                return;
            }
            (before, at) = (at, next);
        }
    }

    /// The latest destructor that `which` picks; null without one.
    fn find(&self, which: impl Fn(&Node) -> bool) -> *mut Node {
        let mut at = self.nodes.get();
        // SAFETY: every node in the list is alive: it is taken out before it is freed.
        while let Some(node) = unsafe { at.as_ref() }
            && !which(node)
        {
            at = node.next;
        }
        at
    }

    /// Takes a destructor out of the list, and frees its slot.
    fn take(&self, node: *mut Node) -> Node {
        let before = self.find(|each| each.next == node);
        // SAFETY: `node` is in the list, hence alive, and what comes before it too; the list was the only one to know it.
        let taken = unsafe {
            match before.as_mut() {
                _ if self.nodes.get() == node => self.nodes.set((*node).next),
                Some(before) => before.next = (*node).next,
                None => {}
            }
            *Box::from_raw(node)
        };
        // SAFETY: a slot lives until the C library calls with it, which takes it from its destructor.
        if let Some(slot) = unsafe { taken.slot.as_mut() } {
            slot.node = ptr::null_mut();
            slot.next = self.free.get();
            self.free.set(slot);
            self.free_count.set(self.free_count.get() + 1);
        }
        taken
    }
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
/// Called by the C library, once for each slot, on its thread.
unsafe extern "C" fn thread_ends(slot: *mut c_void) {
    let slot: *mut Slot = slot.cast();
    HERE.with(|here| {
        // SAFETY: made by `Here::slot`, for this call; nobody else has a reference to it.
        let node = unsafe { (*slot).node };
        // SAFETY: its destructor, which is in the list, has this slot no longer.
        match unsafe { node.as_mut() } {
            Some(node) => node.slot = ptr::null_mut(),
            None => here.take_free(slot),
        }
        // SAFETY: as above; neither a destructor nor the list of free ones has it any more.
        drop(unsafe { Box::from_raw(slot) });
        // Those that are newer and have an older slot go first. New ones may come while others run, and one that closes its dylib runs more of them.
        while !node.is_null() && !here.find(|each| ptr::eq(each, node)).is_null() {
            here.take(here.nodes.get()).run();
        }
    });
}

impl Node {
    fn waiting(&self) -> Waiting {
        Waiting { dylib: self.dylib, image: self.image, function: self.handler.function() }
    }

    fn run(self) {
        let Self { handler, session, dylib, inside, .. } = self;
        if inside.is_none() {
            return;
        }
        if let Some(session) = session.upgrade() {
            let _running = Running::enter(&session, Some(dylib));
            // SAFETY: executed code registered it, and its memory is kept by the token.
            unsafe { call::handler(handler, 0) };
        }
        drop(inside);
    }
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
    HERE.with(|here| {
        loop {
            let node = here.find(|node| ptr::eq(node.session.as_ptr(), session) && which(node.waiting()));
            if node.is_null() {
                return;
            }
            here.take(node).run();
        }
    });
}
