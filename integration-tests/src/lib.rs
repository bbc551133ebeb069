//! Support for the cases.
