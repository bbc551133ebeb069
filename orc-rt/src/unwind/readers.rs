//! When nobody can hold something any more that was taken out of sight: readers are counted, writers never wait for them.
//!
//! You [enter](Readers::enter) before you look at what a writer may take away, and drop the result when you have looked. A writer makes a thing unreachable, then
//! [retires](Retired::retire) it; it is dropped as soon as everybody has left who entered before that. Not for values that readers keep.
//!
//! Readers do two additions and wait for nobody, in a signal handler as well. The count is split by stack, so that threads do not share cache lines. There are two
//! counts of readers, one for even and one for odd *turns*; a writer turns when the older count is zero, so that the one it waits for only goes down.

use std::sync::atomic::{AtomicU64, Ordering};

/// Parts of a count. More than threads usually unwind at a time.
const PARTS: usize = 16;

/// One part, on a cache line of its own.
#[derive(Debug)]
#[repr(align(64))]
struct Part(AtomicU64);

/// Counts who looks.
#[derive(Debug)]
pub(super) struct Readers {
    /// How often a writer has turned.
    turn: AtomicU64,
    /// By parity of the turn in which they came.
    inside: [[Part; PARTS]; 2],
}

/// Somebody looks while this lives.
#[derive(Debug)]
#[must_use = "what is looked at may go when this does"]
pub(super) struct Inside<'a>(&'a Part);

impl Readers {
    pub(super) const fn new() -> Self {
        Self { turn: AtomicU64::new(0), inside: [const { [const { Part(AtomicU64::new(0)) }; PARTS] }; 2] }
    }

    /// Begins to look.
    pub(super) fn enter(&self) -> Inside<'_> {
        let part = part_of_this_stack();
        loop {
            let turn = self.turn.load(Ordering::SeqCst);
            let part = &self.inside[(turn & 1) as usize][part];
            part.0.fetch_add(1, Ordering::SeqCst);
            let inside = Inside(part);
            // If no writer has turned meanwhile, the next one that does sees this reader. All of these are in one order (SeqCst) with the writer's turn and look
            // at the counts: an addition that the writer did not see comes after its turn, and then so does this look.
            if self.turn.load(Ordering::SeqCst) == turn {
                return inside;
            }
        }
    }

    /// Whether somebody is inside who came in a turn of this parity.
    fn any(&self, parity: u64) -> bool {
        self.inside[(parity & 1) as usize].iter().any(|part| part.0.load(Ordering::SeqCst) != 0)
    }
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Release);
    }
}

/// Stacks of threads lie megabytes apart; a thread may have several (signals), and then counts in several parts.
fn part_of_this_stack() -> usize {
    let here = 0_u8;
    let address = (&raw const here).addr() as u64;
    // Fibonacci hashing of what differs between stacks.
    ((address >> 16).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 60) as usize % PARTS
}

/// Things that readers may still hold. One writer at a time has it.
#[derive(Debug)]
pub(super) struct Retired<T> {
    /// Taken out of sight since the last turn.
    recent: Vec<T>,
    /// Before it: only readers of the turn before can hold these.
    waiting: Vec<T>,
}

impl<T> Retired<T> {
    pub(super) const fn new() -> Self {
        Self { recent: Vec::new(), waiting: Vec::new() }
    }

    /// Takes what no new reader can find any more, and drops what nobody holds.
    pub(super) fn retire(&mut self, readers: &Readers, thing: T) {
        self.recent.push(thing);
        // Once for what waits, once for what has just come.
        for _ in 0..2 {
            let turn = readers.turn.load(Ordering::SeqCst);
            if readers.any(turn + 1) {
                return;
            }
            self.waiting.clear();
            std::mem::swap(&mut self.recent, &mut self.waiting);
            readers.turn.store(turn + 1, Ordering::SeqCst);
        }
    }

    /// How many are kept.
    #[cfg(test)]
    fn len(&self) -> usize {
        self.recent.len() + self.waiting.len()
    }
}

#[cfg(test)]
mod tests {
    use super::{Readers, Retired};
    use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
    use std::sync::{Arc, Weak};

    #[test]
    fn what_nobody_holds_goes_at_once() {
        let (readers, mut retired) = (Readers::new(), Retired::new());
        for number in 0..10 {
            let thing = Arc::new(number);
            let gone = Arc::downgrade(&thing);
            retired.retire(&readers, thing);
            assert_eq!((gone.strong_count(), retired.len()), (0, 0), "{number}");
        }
    }

    #[test]
    fn a_reader_keeps_what_it_may_have_seen_and_nothing_that_came_later() {
        let (readers, mut retired) = (Readers::new(), Retired::new());
        let mut retire = |number: i32| -> Weak<i32> {
            let thing = Arc::new(number);
            let gone = Arc::downgrade(&thing);
            retired.retire(&readers, thing);
            gone
        };
        let early = readers.enter();
        let first = retire(1);
        let late = readers.enter();
        let second = retire(2);
        assert_eq!((first.strong_count(), second.strong_count()), (1, 1));
        drop(early);
        let third = retire(3);
        assert_eq!(first.strong_count(), 0, "whoever could hold it has left");
        assert_eq!((second.strong_count(), third.strong_count()), (1, 1), "the later reader may hold both");
        drop(late);
        let fourth = retire(4);
        for thing in [second, third, fourth] {
            assert_eq!(thing.strong_count(), 0);
        }
    }

    #[test]
    fn readers_never_see_what_was_dropped() {
        const DROPPED: u64 = u64::MAX;
        /// Says when it is dropped. The state outlives the test, so that a reader that comes too late sees the mark and not freed memory.
        struct Thing<'a>(&'a AtomicU64);
        impl Drop for Thing<'_> {
            fn drop(&mut self) {
                self.0.store(DROPPED, Ordering::SeqCst);
            }
        }
        let last = AtomicU64::new(0);
        let states: Vec<AtomicU64> = (0..20_000).map(AtomicU64::new).collect();
        let readers = Readers::new();
        let mut retired = Retired::new();
        // The state that can be found now; behind the last one, none.
        let current = AtomicUsize::new(states.len());
        let stop = AtomicBool::new(false);
        let seen = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    while !stop.load(Ordering::Relaxed) {
                        let inside = readers.enter();
                        if let Some(state) = states.get(current.load(Ordering::SeqCst)) {
                            std::hint::spin_loop();
                            assert_ne!(state.load(Ordering::SeqCst), DROPPED);
                            seen.fetch_add(1, Ordering::Relaxed);
                        }
                        drop(inside);
                    }
                });
            }
            for (number, state) in states.iter().enumerate() {
                current.store(number, Ordering::SeqCst);
                if number % 64 == 0 {
                    std::thread::yield_now();
                }
                current.store(states.len(), Ordering::SeqCst);
                retired.retire(&readers, Thing(state));
            }
            while seen.load(Ordering::Relaxed) == 0 {
                current.store(states.len() - 1, Ordering::SeqCst);
                states[states.len() - 1].store(0, Ordering::SeqCst);
                std::thread::yield_now();
            }
            stop.store(true, Ordering::Relaxed);
        });
        retired.retire(&readers, Thing(&last));
        assert_eq!(retired.len(), 0, "nothing stays for ever");
        assert!(states[..states.len() - 1].iter().all(|state| state.load(Ordering::SeqCst) == DROPPED));
    }
}
