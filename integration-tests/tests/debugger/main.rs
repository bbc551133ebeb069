//! Does a real gdb see linked code as it sees any other? Through an executor in process and a spawned one: breakpoints before there is code, lines,
//! locals, thread-local variables, backtraces, debuggers that come late, dylibs that go.
//!
//! gdb is driven in batch mode and judged by what it prints. Not for: what debug sections look like from inside (`jitlink/src/debug/`).

mod late;
mod lines;
mod seen;
mod world;
