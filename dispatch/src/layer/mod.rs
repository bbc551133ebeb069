//! Transports around transports: to see, to break, to keep and to repeat what travels.
//!
//! | layer | does |
//! |---|---|
//! | [`trace`] | tells every frame to a function, or to `tracing` |
//! | [`fault`] | delays, stalls, cuts, silences, corrupts or truncates, at the message you name |
//! | [`reorder`] | delivers in another legal order |
//! | [`record`] | keeps every frame in a journal; a replay of the journal stands in for the other side |
//!
//! They wrap each other in any order, on either side or on both.

pub mod fault;
pub mod record;
pub mod reorder;
pub mod trace;

use std::fmt;

/// Numbers that look random and follow from a seed (SplitMix64).
#[derive(Debug, Clone)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Dice(seed)
    }

    pub(crate) fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`, 0 if that is 0.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        // The bias of the remainder does not matter to a test.
        (self.roll() % end.max(1) as u64) as usize
    }
}

/// Where a frame goes, seen from the side that the layer is on. Prints as an arrow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From here to the other side.
    Sent,
    /// From the other side to here.
    Received,
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Direction::Sent => "->",
            Direction::Received => "<-",
        })
    }
}
