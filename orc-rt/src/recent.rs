//! Symbols that this thread has looked up, found again without a lock, an allocation or a word to anybody.
//!
//! You give what dlsym(3) is given and get the address, if the thread has got it before and nothing has happened in this process since that could make it
//! another: the *epoch* stands where it stood. It moves when a controller changes something, when a plan or an unload comes, when an image or a handle comes or goes, in
//! whichever session. That is coarse, and all that a hit has to compare. Not for absent symbols, thread-local variables, or answers whose asker is not known by
//! its address: [`found`](crate::found) remembers these, and what is asked here for the first time.
//!
//! Each thread has its own, so a hit shares nothing with other threads but the word that holds the epoch.

use crate::dlfcn::Handle;
use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, Ordering};

/// See [`epoch`]. Starts above what an empty slot holds.
static EPOCH: AtomicU64 = AtomicU64::new(1);

/// Slots of a thread, a power of two. What meets another's takes its place.
const SLOTS: usize = 256;

/// Longer names, in bytes, are not kept: a thread has 32 KiB of them at most.
const LONGEST: usize = 128;

crate::sync::thread_local! {
    static RECENT: RefCell<Vec<Slot>> = const { RefCell::new(Vec::new()) };
}

/// Where the process stands. What is asked after this was read takes everything into account that [`turn`] was called for before.
pub(crate) fn epoch() -> u64 {
    EPOCH.load(Ordering::Acquire)
}

/// Something has changed that can make an answer another. To be called after the change and before anybody hears that it was made.
pub(crate) fn turn() {
    EPOCH.fetch_add(1, Ordering::Release);
}

/// Who asks where: a handle, or a pseudo-handle and the code that asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Place {
    handle: u64,
    caller: u64,
}

impl Place {
    /// For the handle values of dlsym(3). `None` for handles of the system.
    pub(crate) fn new(handle: u64, caller: u64) -> Option<Self> {
        if Handle::from_raw(handle).is_ours() {
            // Whoever asks, the answer is the same.
            return Some(Self { handle, caller: 0 });
        }
        let pseudo = handle == libc::RTLD_DEFAULT as u64 || handle == libc::RTLD_NEXT as u64;
        pseudo.then_some(Self { handle, caller })
    }

    /// For a handle of ours.
    pub(crate) fn of(handle: Handle) -> Self {
        Self { handle: handle.as_raw(), caller: 0 }
    }
}

/// An answer, and the number of the session that gave it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) session: u64,
    pub(crate) address: u64,
}

#[derive(Debug, Clone)]
struct Slot {
    epoch: u64,
    place: Place,
    answer: Answer,
    name: Box<[u8]>,
}

/// What this thread was told of `name` in this epoch.
pub(crate) fn find(place: Place, name: &[u8]) -> Option<Answer> {
    let now = epoch();
    // Neither at a thread's end, nor in a handler of a signal that has come in between.
    RECENT
        .try_with(|recent| {
            let recent = recent.try_borrow().ok()?;
            let slot = recent.get(index(place, name))?;
            (slot.epoch == now && slot.place == place && *slot.name == *name).then_some(slot.answer)
        })
        .ok()
        .flatten()
}

/// Remembers an answer; `epoch` was read before anything was asked.
pub(crate) fn put(epoch: u64, place: Place, name: &[u8], answer: Answer) {
    if name.len() > LONGEST {
        return;
    }
    let new = Slot { epoch, place, answer, name: name.into() };
    let _ = RECENT.try_with(|recent| {
        let Ok(mut recent) = recent.try_borrow_mut() else { return };
        if recent.is_empty() {
            let empty = Slot {
                epoch: 0,
                place: Place::default(),
                answer: Answer { session: 0, address: 0 },
                name: Box::default(),
            };
            recent.resize(SLOTS, empty);
        }
        recent[index(place, name)] = new;
    });
}

/// A name's slot, by its length and three words of it: most of a lookup would be a better hash.
fn index(place: Place, name: &[u8]) -> usize {
    const MIX: u64 = 0x9e37_79b9_7f4a_7c15;
    let word =
        |at: usize| name.get(at..at + 8).map_or(0, |bytes| u64::from_ne_bytes(bytes.try_into().unwrap_or_default()));
    let length = name.len();
    let text = if length >= 8 {
        word(0) ^ word(length / 2 - 4).rotate_left(21) ^ word(length - 8).rotate_left(43)
    } else {
        name.iter().fold(0, |text, byte| text << 8 | u64::from(*byte))
    };
    let mixed = (text ^ place.handle.rotate_left(11) ^ place.caller).wrapping_add(length as u64).wrapping_mul(MIX);
    (mixed >> (u64::BITS - SLOTS.trailing_zeros())) as usize
}

#[cfg(not(shuttle))]
#[cfg(test)]
mod tests {
    use super::{Answer, LONGEST, Place, SLOTS, epoch, find, put, turn};

    fn place(handle: u64) -> Place {
        Place { handle, caller: 0 }
    }

    fn answer(address: u64) -> Answer {
        Answer { session: 1, address }
    }

    /// Other tests of this process turn the epoch, too: what is put is found in one of a few tries, unless it is never.
    fn is_found_again(name: &[u8], address: u64) -> bool {
        (0..1000).any(|_| {
            put(epoch(), place(7), name, answer(address));
            find(place(7), name) == Some(answer(address))
        })
    }

    #[test]
    fn an_answer_is_found_until_something_turns() {
        for name in [&b""[..], b"f", b"seven__", b"eight___", b"_ZN3foo3barEv", &[b'x'; LONGEST]] {
            assert!(is_found_again(name, 9), "{name:?}");
            assert_eq!(find(place(8), name), None, "another handle");
            assert_eq!(find(Place { handle: 7, caller: 1 }, name), None, "another caller");
            turn();
            assert_eq!(find(place(7), name), None);
        }
        assert!(!is_found_again(&[b'x'; LONGEST + 1], 9), "too long");
    }

    #[test]
    fn what_was_asked_before_a_turn_is_not_kept_after_it() {
        let before = epoch();
        turn();
        put(before, place(1), b"late", answer(1));
        assert_eq!(find(place(1), b"late"), None);
    }

    #[test]
    fn many_names_take_each_others_place_and_are_never_mixed_up() {
        for number in 0..4 * SLOTS as u64 {
            put(epoch(), place(2), format!("name{number}").as_bytes(), answer(number));
        }
        for number in 0..4 * SLOTS as u64 {
            let found = find(place(2), format!("name{number}").as_bytes());
            assert!(found.is_none_or(|found| found == answer(number)), "{number}: {found:?}");
        }
    }

    #[test]
    fn each_thread_has_its_own() {
        assert!(is_found_again(b"mine", 5));
        let other = std::thread::spawn(|| find(place(7), b"mine")).join().expect("no panic");
        assert_eq!(other, None);
    }
}
