//! What is to be told, before it is decided how.

use super::{CrashReport, demangle};
use serde::Serialize;

/// One thing that went wrong, or that the user should know.
///
/// As JSON it is one object with the fields below; empty fields are left out. Fields may be added, none will change its meaning.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// How bad it is.
    pub level: Level,
    /// One line: what is wrong.
    pub title: String,
    /// The symbol that it is about, as objects spell it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub symbol: Option<String>,
    /// Who refers to the symbol: the first ones.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub references: Vec<Reference>,
    /// How many references there are.
    #[serde(skip_serializing_if = "is_zero")]
    pub reference_count: usize,
    /// Facts that belong to the title, a line each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<String>,
    /// Facts that may explain it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// What the user can do.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub help: Vec<String>,
    /// Of a program that died: all that is known, which the title and the details say in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crash: Option<Box<CrashReport>>,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Nothing is run.
    Error,
    /// It goes on.
    Warning,
}

/// A place that refers to a symbol.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reference {
    /// The object: a path, or `archive.a(member.o)`.
    pub object: String,
    /// The section.
    pub section: String,
    /// Where in the section, in bytes.
    pub offset: u64,
    /// The function or variable around that place, as objects spell it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub function: Option<String>,
}

/// A symbol that two objects define.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Duplicate {
    /// Its name, as objects spell it.
    pub name: String,
    /// The object that came first.
    pub first: String,
    /// The object that defines it again.
    pub second: String,
}

fn is_zero(count: &usize) -> bool {
    *count == 0
}

impl Report {
    /// An error that needs no more words, yet.
    #[must_use]
    pub fn error(title: impl Into<String>) -> Self {
        Self {
            level: Level::Error,
            title: title.into(),
            symbol: None,
            references: Vec::new(),
            reference_count: 0,
            details: Vec::new(),
            notes: Vec::new(),
            help: Vec::new(),
            crash: None,
        }
    }

    /// A warning.
    #[must_use]
    pub fn warning(title: impl Into<String>) -> Self {
        Self { level: Level::Warning, ..Self::error(title) }
    }

    /// An error with its chain of causes, each a detail.
    #[must_use]
    pub fn from_error(error: &dyn std::error::Error) -> Self {
        let mut report = Self::error(error.to_string());
        let mut cause = error.source();
        while let Some(error) = cause {
            let line = error.to_string();
            // Many errors repeat their cause in their own words.
            if !report.title.contains(&line) {
                report.details.push(line);
            }
            cause = error.source();
        }
        report
    }

    /// Adds a detail.
    #[must_use]
    pub fn detail(mut self, line: impl Into<String>) -> Self {
        self.details.push(line.into());
        self
    }

    /// Adds a note.
    #[must_use]
    pub fn note(mut self, line: impl Into<String>) -> Self {
        self.notes.push(line.into());
        self
    }

    /// Adds help.
    #[must_use]
    pub fn help(mut self, line: impl Into<String>) -> Self {
        self.help.push(line.into());
        self
    }
}

impl From<&crate::input::InputError> for Report {
    fn from(error: &crate::input::InputError) -> Self {
        let mut report = Self::error(error.to_string());
        report.details = error.details();
        report.help.extend(error.help());
        report
    }
}

impl From<&Duplicate> for Report {
    fn from(duplicate: &Duplicate) -> Self {
        let Duplicate { name, first, second } = duplicate;
        let mut report = Self::error(format!("duplicate symbol: {}", demangle(name)))
            .detail(format!("defined in {first}"))
            .detail(format!("defined in {second}"));
        report.help.push(if first == second {
            format!("{first} is given twice: give it once")
        } else if name == "main" {
            "two programs cannot be one: give only one object with a main function".into()
        } else {
            "rename one of them, make one static, or put the two objects into different dylibs with --dylib".into()
        });
        report.symbol = Some(name.clone());
        report
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn duplicates_name_both_objects() {
        let duplicate = Duplicate { name: "_Z1fv".into(), first: "a.o".into(), second: "b.o".into() };
        assert_eq!(
            Report::from(&duplicate).to_string(),
            "error: duplicate symbol: f()\n    defined in a.o\n    defined in b.o\n  \
             help: rename one of them, make one static, or put the two objects into different dylibs with --dylib\n"
        );
        let twice = Duplicate { second: "a.o".into(), ..duplicate };
        assert_eq!(Report::from(&twice).help, ["a.o is given twice: give it once"]);
    }

    #[test]
    fn causes_become_details_unless_they_are_told_already() {
        #[derive(Debug, thiserror::Error)]
        #[error("cannot open x")]
        struct Outer(#[source] Inner);
        #[derive(Debug, thiserror::Error)]
        #[error("the disk is gone")]
        struct Inner;
        #[derive(Debug, thiserror::Error)]
        #[error("cannot open x: {0}")]
        struct Repeating(#[source] Inner);

        assert_eq!(Report::from_error(&Outer(Inner)).details, ["the disk is gone"]);
        assert!(Report::from_error(&Repeating(Inner)).details.is_empty());
    }
}
