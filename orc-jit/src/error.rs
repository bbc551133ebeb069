//! Why a session could not do what it was asked. Nothing of a failed request exists afterwards.

use crate::diagnose::{CrashReport, Duplicate, Report, link_error, object_error};
use crate::executor::ExecutorError;
use crate::tracker::Dependent;
use jitlink::LinkError;
use jitlink::object::ObjectError;
use jitlink::object::archive::ArchiveError;

/// What went wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file cannot be read.
    #[error("cannot read {file}: {error}")]
    Read {
        /// Its path.
        file: String,
        /// The system's reason.
        #[source]
        error: std::io::Error,
    },
    /// An object is malformed, for another machine, or defines again what is defined.
    #[error(transparent)]
    Object(#[from] ObjectError),
    /// An archive is malformed.
    #[error("{file}: {error}")]
    Archive {
        /// The archive.
        file: String,
        /// Why.
        #[source]
        error: ArchiveError,
    },
    /// A link failed.
    #[error("cannot link {dylib}: {error}")]
    Link {
        /// The dylib that was linked.
        dylib: String,
        /// Why.
        #[source]
        error: Box<LinkError>,
    },
    /// Names that nobody defines, each with who refers to it and what was probably meant.
    #[error("{}", .0.iter().map(|report| report.title.as_str()).collect::<Vec<_>>().join("; "))]
    Undefined(Vec<Report>),
    /// Data of shared libraries that code refers to in 32 bits and that cannot be brought within their reach.
    #[error("{}", .0.iter().map(|report| report.title.as_str()).collect::<Vec<_>>().join("; "))]
    OutOfReach(Vec<Report>),
    /// A name given to the session clashes with a definition.
    #[error("duplicate definition of '{symbol}': {first} and {second}")]
    Duplicate {
        /// The name.
        symbol: String,
        /// Who had it first.
        first: String,
        /// Who defines it again.
        second: String,
    },
    /// An alias for what the dylib does not define.
    #[error("'{alias}' is to be another name of '{of}', which {dylib} does not define")]
    Alias {
        /// The new name.
        alias: String,
        /// The old one.
        of: String,
        /// The dylib.
        dylib: String,
    },
    /// The executor refused, with the text of `jit_dlerror` where there is one.
    #[error(transparent)]
    Executor(#[from] ExecutorError),
    /// The executor's process has ended, by a signal or because the program called `exit`.
    #[error("{}", .0.report().title)]
    Ended(Box<CrashReport>),
    /// There is a dylib of that name already.
    #[error("there is a JITDylib called '{0}' already")]
    DylibExists(String),
    /// There is no dylib of that name.
    #[error("there is no JITDylib called '{0}'")]
    NoDylib(String),
    /// A link to a dylib of another session.
    #[error("a JITDylib cannot link against one of another session")]
    OtherSession,
    /// A type that cannot be what a symbol is.
    #[error("'{symbol}' cannot be used as a {type_name}: {reason}")]
    Type {
        /// The symbol.
        symbol: String,
        /// The type's name.
        type_name: &'static str,
        /// Why.
        reason: &'static str,
    },
    /// Something that is to be removed is used.
    #[error("{what} of JITDylib {dylib} is used by {}{}", list(users), if *fixed { ", which cannot be removed by itself" } else { "" })]
    StillUsed {
        /// What was to be removed: its files.
        what: String,
        /// Its dylib.
        dylib: String,
        /// Who uses it, by what.
        users: Vec<Dependent>,
        /// They cannot be removed with it: they are what their dylib is made of, or on their way out themselves.
        fixed: bool,
    },
    /// A tracker whose inputs have been removed.
    #[error("tracker {name} of JITDylib {dylib} has been removed")]
    TrackerRemoved {
        /// Its name.
        name: String,
        /// Its dylib.
        dylib: String,
    },
    /// A definition that cannot take the place of another.
    #[error("{what} of JITDylib {dylib} cannot be redefined: {reason}: {}", list(users))]
    CannotReplace {
        /// What was to be redefined: its files.
        what: String,
        /// Its dylib.
        dylib: String,
        /// Why.
        reason: &'static str,
        /// Who stands in the way, by what.
        users: Vec<Dependent>,
    },
    /// A mistake in this crate.
    #[error("internal error: {0}; please report it")]
    Internal(String),
}

fn list(users: &[Dependent]) -> String {
    users.iter().map(Dependent::to_string).collect::<Vec<_>>().join("; ")
}

impl Error {
    pub(crate) fn internal(what: &str) -> Self {
        Self::Internal(what.to_owned())
    }

    /// The error as reports for a terminal or a program: several when several names are undefined.
    #[must_use]
    pub fn reports(&self) -> Vec<Report> {
        match self {
            Self::Undefined(reports) | Self::OutOfReach(reports) => reports.clone(),
            Self::Object(error) => vec![object_error(error)],
            Self::Duplicate { symbol, first, second } => {
                let (name, first, second) = (symbol.clone(), first.clone(), second.clone());
                vec![Report::from(&Duplicate { name, first, second })]
            }
            Self::Link { error, .. } => link_error(error, &[]),
            Self::Ended(crash) => vec![crash.report()],
            other => vec![Report::from_error(other)],
        }
    }
}
