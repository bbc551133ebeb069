//! Transports around transports: to see, to break, to keep and to repeat what travels.
//!
//! | layer | does |
//! |---|---|
//! | [`trace`] | tells every frame to a function, or to `tracing` |
//! | [`fault`] | delays, cuts, corrupts or truncates, at the message you name |
//! | [`record`] | keeps every frame in a journal; a replay of the journal stands in for the other side |
//!
//! They wrap each other in any order, on either side or on both.

pub mod fault;
pub mod record;
pub mod trace;

use std::fmt;

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
