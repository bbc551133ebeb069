//! Passes over a built graph: what pruning consists of.

pub mod eh_frame;
pub mod merge;
