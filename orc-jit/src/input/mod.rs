//! What a user names on a command line, turned into files to link.
//!
//! **You give** paths, `-l` names and text linker scripts. **You get** a flat list of [`Input`]s in the order in which a linker
//! would meet them: objects, archives and shared libraries, scripts followed. **Not here:** reading objects, loading libraries,
//! deciding which members of an archive are needed.
//!
//! ```
//! use orc_jit::input::{FileKind, Resolver, SearchPath};
//!
//! let resolver = Resolver::new(SearchPath::host(vec!["./lib".into()]));
//! // Trusted by its name: the file is opened once, by whoever parses it.
//! let inputs = resolver.file("main.o".as_ref())?;
//! assert_eq!(inputs[0].kind, FileKind::Object);
//! # Ok::<(), orc_jit::input::InputError>(())
//! ```

mod error;
mod kind;
mod resolve;
pub mod response;
pub mod script;
mod search;
mod target;

pub use error::InputError;
pub use kind::FileKind;
pub use resolve::{Input, Resolver};
pub use search::SearchPath;
pub use target::Target;
