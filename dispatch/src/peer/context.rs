//! Which calls the current thread is serving, innermost last: what a call made from here is nested in.

use std::cell::RefCell;

use crate::frame::Seq;

thread_local! {
    static SERVING: RefCell<Vec<(u64, Seq)>> = const { RefCell::new(Vec::new()) };
}

/// The innermost call of connection `link` that this thread is serving.
pub(super) fn parent(link: u64) -> Option<Seq> {
    with(|calls| calls.iter().rev().find(|call| call.0 == link).map(|call| call.1)).flatten()
}

/// How many calls this thread is serving, one inside the other.
pub(super) fn depth() -> usize {
    with(|calls| calls.len()).unwrap_or(0)
}

/// While it lives, this thread is serving `seq` of connection `link`.
pub(super) struct Serving(());

impl Serving {
    pub(super) fn enter(link: u64, seq: Seq) -> Self {
        with(|calls| calls.push((link, seq)));
        Serving(())
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        with(Vec::pop);
    }
}

/// None on a thread that is ending: destructors of thread-locals may still call, and are then nested in nothing.
fn with<T>(act: impl FnOnce(&mut Vec<(u64, Seq)>) -> T) -> Option<T> {
    SERVING.try_with(|calls| act(&mut calls.borrow_mut())).ok()
}
