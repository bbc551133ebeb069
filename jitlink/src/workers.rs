//! Threads for a link, which has none of its own: whoever links lends some.
//!
//! **You give** a [`Workers`], by [`crate::Link::with_workers`]. **You get** the same link, byte by byte and error by error, whatever
//! their number: pieces are cut by sizes that the inputs decide, none reads what another writes, and of several errors the one of the
//! first piece counts. **Not here:** threads. [`Alone`] has none, and is what a link uses that was given nothing else.
//!
//! Threads of the standard library, as many as there are pieces:
//!
//! ```
//! struct Threads;
//!
//! impl jitlink::Workers for Threads {
//!     fn count(&self) -> usize {
//!         4
//!     }
//!     fn run(&self, pieces: usize, work: &(dyn Fn(usize) + Sync)) {
//!         std::thread::scope(|scope| (0..pieces).for_each(|piece| drop(scope.spawn(move || work(piece)))));
//!     }
//! }
//!
//! # use jitlink::{FlatMemory, Link, LinkGraph, LinkOptions, Roots, arch};
//! let graph = LinkGraph::new(&arch::x86_64::MACHINE);
//! let linked = Link::new(graph, LinkOptions::default())
//!     .with_workers(&Threads)
//!     .prune(&Roots::default())?
//!     .place(&FlatMemory::new(0x10_0000))?
//!     .resolve(|_| None)?
//!     .finalize()?;
//! assert!(linked.allocation.bytes.is_empty());
//! # Ok::<(), jitlink::LinkError>(())
//! ```

use std::sync::{Mutex, PoisonError};

/// Who does pieces of work that are independent of each other.
pub trait Workers: Sync {
    /// How many pieces may be done at once; work is cut accordingly, and not at all if this is less than 2.
    fn count(&self) -> usize;

    /// Calls `work` with every number below `pieces` once, in any order, on any threads, and returns when all calls have.
    ///
    /// # Panics
    /// When a call panics: with its payload, once no call runs any more.
    fn run(&self, pieces: usize, work: &(dyn Fn(usize) + Sync));
}

/// Nobody but the thread that asks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Alone;

impl Workers for Alone {
    fn count(&self) -> usize {
        1
    }

    fn run(&self, pieces: usize, work: &(dyn Fn(usize) + Sync)) {
        (0..pieces).for_each(work);
    }
}

/// What `work` makes of each piece, in the order of the pieces, by whomever. One piece is done here and now.
///
/// # Panics
/// When `workers` left a piece out.
pub fn map<T: Send, R: Send>(workers: &dyn Workers, pieces: Vec<T>, work: impl Fn(T) -> R + Sync) -> Vec<R> {
    if pieces.len() < 2 {
        return pieces.into_iter().map(work).collect();
    }
    let slots: Vec<_> = pieces.into_iter().map(|piece| (Mutex::new(Some(piece)), Mutex::new(None))).collect();
    workers.run(slots.len(), &|number| {
        let (piece, done) = &slots[number];
        // Each lock is taken by one thread at a time and never held while a piece is worked on.
        let piece = piece.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(piece) = piece {
            let made = work(piece);
            *done.lock().unwrap_or_else(PoisonError::into_inner) = Some(made);
        }
    });
    let done = slots.into_iter().map(|(_, done)| done.into_inner().unwrap_or_else(PoisonError::into_inner));
    done.map(|made| made.expect("workers do every piece")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Does the pieces from the last to the first, one of them twice.
    struct Backwards;

    impl Workers for Backwards {
        fn count(&self) -> usize {
            3
        }

        fn run(&self, pieces: usize, work: &(dyn Fn(usize) + Sync)) {
            (0..pieces).rev().for_each(work);
            work(0);
        }
    }

    #[test]
    fn results_stand_in_the_order_of_the_pieces() {
        let squares = |workers: &dyn Workers| map(workers, vec![1, 2, 3, 4], |n| n * n);
        assert_eq!(squares(&Alone), [1, 4, 9, 16]);
        assert_eq!(squares(&Backwards), squares(&Alone));
    }
}
