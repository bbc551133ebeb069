//! Runs programs from their object files.

pub mod diagnose;
pub mod input;
