//! What do profilers see of linked code? Real perf and valgrind, and independent readers of the files that are written for them.
//!
//! [`files`] compares the files with objects and with what runs, wherever the kernel lets nobody sample. [`perf`] records and reports where it lets: whether it does is tried
//! once and printed. [`valgrind`] has memcheck and callgrind name linked code.

mod files;
mod perf;
mod valgrind;
mod world;
