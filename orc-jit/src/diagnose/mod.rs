//! Errors in the user's language: which symbol, which file, who asked, and what would help.
//!
//! **You give** what went wrong as plain data ([`Unresolved`], [`Duplicate`], any [`std::error::Error`]). **You get** [`Report`]s,
//! which print for people (with or without color) and for programs (one JSON object a line). **Not here:** finding out what went wrong.
//!
//! ```
//! use orc_jit::diagnose::{Known, KnownKind, Reference, Unresolved, undefined};
//!
//! let asked = Unresolved {
//!     name: "compute_totl".into(),
//!     references: vec![Reference { object: "main.o".into(), section: ".text".into(), offset: 0x1b, function: Some("main".into()) }],
//!     reference_count: 1,
//! };
//! let known = [Known { name: "compute_total", place: "util.o", kind: KnownKind::Exported }];
//! let reports = undefined(&[asked], &known);
//! assert_eq!(reports[0].to_string(), "\
//! error: undefined symbol: compute_totl
//!     referenced by main.o:(.text+0x1b) in main
//!   help: did you mean `compute_total` (defined in util.o)?
//! ");
//! ```

mod crash;
mod demangle;
mod libraries;
mod link;
mod nearest;
mod place;
mod render;
mod report;
mod unresolved;

pub use crash::{Access, CrashReport, Ending, Fault, Frame, signal_name};
pub use demangle::demangle;
pub use link::{link_error, object_error};
pub use nearest::{Nearest, nearest};
pub use place::{CodePlace, Inlined, Search, SourceLine, locate};
pub use render::{Format, render};
pub use report::{Duplicate, Level, Reference, Report};
pub use unresolved::{Known, KnownKind, Unresolved, undefined};
