//! What can be wrong with what a user named.

use super::script::ScriptError;
use std::io;
use std::path::{Path, PathBuf};

/// Why an input cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// It cannot be read, mostly because it is not there.
    #[error("cannot read {}: {}", path.display(), reason(error))]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// It can be read, but it is nothing that can be linked.
    #[error("{} {what}", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What it is, as the end of a sentence that begins with the path.
        what: String,
        /// What to do; empty when there is nothing to say.
        help: String,
    },
    /// A linker script that is not understood.
    #[error("{}:{error}", path.display())]
    Script {
        /// The script.
        path: PathBuf,
        /// Where, and why.
        error: ScriptError,
    },
    /// A file that a linker script names is nowhere.
    #[error("{}:{line}: cannot find {name}, which this linker script asks for", script.display())]
    ScriptMember {
        /// The script.
        script: PathBuf,
        /// The line, from 1.
        line: u32,
        /// What it names.
        name: String,
    },
    /// Linker scripts that name each other without end.
    #[error("{}: linker scripts name each other more than {limit} deep", path.display())]
    Nesting {
        /// The script at which it was given up.
        path: PathBuf,
        /// How deep is allowed.
        limit: usize,
    },
    /// No library of a name given with `-l`.
    #[error("cannot find -l{name}")]
    Library {
        /// The name as given, without `-l`.
        name: String,
        /// The file names that would have done.
        wanted: Vec<String>,
        /// The directories that were searched, in order.
        searched: Vec<PathBuf>,
        /// Files of that name that are for another machine.
        incompatible: Vec<PathBuf>,
        /// The library name in these directories that comes nearest.
        nearest: Option<String>,
    },
    /// A response file with an open quote.
    #[error("{}:{line}: the {quote} that is opened here is never closed", path.display())]
    Quote {
        /// The response file.
        path: PathBuf,
        /// The line of the opening quote, from 1.
        line: u32,
        /// The quote.
        quote: char,
    },
    /// Response files that include each other without end.
    #[error("@{}: more than {limit} response files: they include each other", path.display())]
    ResponseLoop {
        /// The file at which it was given up.
        path: PathBuf,
        /// How many are allowed.
        limit: usize,
    },
}

impl InputError {
    pub(crate) fn read(path: &Path, error: io::Error) -> Self {
        Self::Read { path: path.into(), error }
    }

    pub(crate) fn unusable(path: &Path, what: impl Into<String>, help: impl Into<String>) -> Self {
        Self::Unusable { path: path.into(), what: what.into(), help: help.into() }
    }

    /// What the user can do, when there is something to say.
    #[must_use]
    pub fn help(&self) -> Option<String> {
        match self {
            Self::Unusable { help, .. } => (!help.is_empty()).then(|| help.clone()),
            Self::Library { nearest: Some(nearest), .. } => Some(format!("did you mean -l{nearest}?")),
            Self::Library { name, .. } => Some(format!(
                "install the development package of {name}, or name its directory with -L, or its file as an input"
            )),
            _ => None,
        }
    }

    /// More facts, a line each.
    #[must_use]
    pub fn details(&self) -> Vec<String> {
        let Self::Library { wanted, searched, incompatible, .. } = self else { return Vec::new() };
        let mut lines = vec![format!("looked for {}", wanted.join(", then "))];
        lines.extend(searched.iter().map(|dir| format!("in {}", dir.display())));
        lines.extend(incompatible.iter().map(|file| format!("{} is for another machine", file.display())));
        lines
    }
}

/// The system's words without its numbers.
fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "no such file".into(),
        io::ErrorKind::PermissionDenied => "permission denied".into(),
        io::ErrorKind::IsADirectory => "it is a directory".into(),
        _ => error.to_string(),
    }
}
