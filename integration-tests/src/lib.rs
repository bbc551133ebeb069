//! The harness of the cases: you give a folder of sources with directives, you get one trial for each way of building it.
//!
//! A case is a folder `cases/<question>/<name>/`. Its main source says in `//#Key: value` lines how it is built and what is to be
//! compared (the table of directives is in this package's README). A trial builds the objects once and runs them twice:
//! linked by the system's linker and started as a process of its own (the *oracle*), and by `orc run`, there once for each executor.
//! Standard output and exit code have to agree to the byte.
//!
//! [`scoreboard`] is the other half: whole programs beside what other linkers make of the same objects.
//!
//! Not for: unit tests of a crate (they stand beside its code).
//!
//! ```no_run
//! use integration_tests::{case, oracle, workplace::Workplace};
//!
//! let workplace = Workplace::of_this_test().unwrap();
//! for case in case::discover(&workplace.cases).unwrap() {
//!     for variant in case.variants() {
//!         oracle::check(&workplace, &case, &variant).unwrap();
//!     }
//! }
//! ```
//!
//! # Unsafe code
//!
//! In `bin/hardened.rs`, a program that the cases start: it asks the kernel for a hardened process; and in `scoreboard/measure.rs`, which
//! asks the kernel what a whole tree of processes used.

pub mod build;
pub mod case;
pub mod directive;
#[cfg(doctest)]
mod documents;
pub mod executor;
pub mod hardening;
pub mod machine;
pub mod oracle;
pub mod package;
pub mod process;
pub mod scoreboard;
pub mod tool;
pub mod ways;
pub mod workplace;

/// What went wrong, ready to be shown: the harness adds context with [`context`], and nobody matches on it.
pub type Failure = String;

/// Puts what was being done before the reason why it failed.
pub fn context(what: impl std::fmt::Display) -> impl FnOnce(std::io::Error) -> Failure {
    move |error| format!("{what}: {error}")
}
