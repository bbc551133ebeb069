//! Archives (being written).
