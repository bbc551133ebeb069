//! The linker's errors as reports.

use super::{Duplicate, Known, Reference, Report, Unresolved, demangle, undefined};
use jitlink::error::Place;
use jitlink::object::{ObjectError, ObjectProblem};
use jitlink::{LinkError, object::detect};

impl From<&Place> for Reference {
    fn from(place: &Place) -> Self {
        Self {
            object: place.object.clone(),
            section: place.section.clone(),
            offset: place.offset,
            function: place.within.clone(),
        }
    }
}

/// So many places of one symbol are kept for programs; people see three.
const KEPT: usize = 100;

impl From<&jitlink::Unresolved> for Unresolved {
    fn from(unresolved: &jitlink::Unresolved) -> Self {
        Self {
            name: unresolved.name.clone(),
            references: unresolved.references.iter().take(KEPT).map(Reference::from).collect(),
            reference_count: unresolved.references.len(),
        }
    }
}

/// What a failed link is to tell. `known`: names that are defined somewhere, for "did you mean".
#[must_use]
pub fn link_error(error: &LinkError, known: &[Known<'_>]) -> Vec<Report> {
    let about = |title: String, symbol: &str, place: &Place| Report {
        symbol: Some(symbol.into()),
        references: vec![place.into()],
        reference_count: 1,
        ..Report::error(title)
    };
    let report = match error {
        LinkError::Unresolved(unresolved) => {
            let symbols: Vec<Unresolved> = unresolved.iter().map(Unresolved::from).collect();
            let mut reports = undefined(&symbols, known);
            for (report, one) in reports.iter_mut().zip(unresolved) {
                if one.hidden {
                    report.notes.push("it is declared hidden: only an object of the same dylib could define it".into());
                }
            }
            return reports;
        }
        LinkError::OutOfRange { place, kind, symbol, target, at, value, help } => {
            let title = format!("{} is out of reach", demangle(symbol));
            let mut report = about(title, symbol, place)
                .detail(format!("{kind} from {at:#x} to {target:#x}: {value:#x} does not fit"));
            report.help.extend(help.clone());
            report
        }
        LinkError::ThreadLocal { place, symbol, model, why } => {
            let title = format!("thread-local variable {} is out of reach", demangle(symbol));
            about(title, symbol, place).detail(format!("it is accessed by the {model} model, {why}"))
        }
        LinkError::ThreadLocalMismatch { place, symbol, defined } => {
            let (is, isnt) = if *defined { ("thread-local", "ordinary") } else { ("ordinary", "thread-local") };
            about(format!("{} is {is} where it is defined, {isnt} where it is used", demangle(symbol)), symbol, place)
                .help("declare it the same way everywhere: all with thread_local, or none")
        }
        LinkError::Discarded { place, symbol } => {
            let title = format!("{} was dropped with its section group", demangle(symbol));
            about(title, symbol, place)
                .detail("an earlier object has the same group, but does not define it")
                .help("compile all objects with the same compiler and options")
        }
        LinkError::NoRoot(symbol) => Report {
            symbol: Some(symbol.clone()),
            ..Report::error(format!("{} is to be kept, but no object defines it", demangle(symbol)))
        },
        other => Report::from_error(other),
    };
    vec![report]
}

/// Machines that executors run on under emulation, wherever the controller runs.
const EMULATED: [&str; 2] = ["aarch64", "riscv64"];

/// What an object that cannot be read is to tell.
#[must_use]
pub fn object_error(error: &ObjectError) -> Report {
    let ObjectError { object, problem, .. } = error;
    match problem {
        ObjectProblem::Duplicate { symbol, first } => {
            Report::from(&Duplicate { name: symbol.clone(), first: first.clone(), second: object.clone() })
        }
        ObjectProblem::WrongMachine { found, wanted } => {
            let report = Report::error(format!("{object} is for {found}, not for {wanted}"));
            let elsewhere = if EMULATED.contains(&found.as_str()) {
                format!(
                    ", or have an executor for {found} run it: --executor 'exec:qemu-{found} -L /usr/{found}-linux-gnu PATH/orc-executor'"
                )
            } else {
                String::new()
            };
            report.help(format!("compile it for {wanted}{elsewhere}"))
        }
        ObjectProblem::NotAnObject(what) => {
            let report = Report::error(format!("{object} is not a relocatable object: it is {what}"));
            match what.as_str() {
                text if text == detect::FileKind::Text.to_string() => report.help(detect::FileKind::Text.advice()),
                bitcode if bitcode == detect::FileKind::Bitcode.to_string() => {
                    report.help(detect::FileKind::Bitcode.advice())
                }
                empty if empty == detect::FileKind::Empty.to_string() => report.help(detect::FileKind::Empty.advice()),
                _ => report,
            }
        }
        ObjectProblem::Malformed(_) => {
            Report::error(error.to_string()).help("build it again: it may have been cut off or damaged")
        }
        ObjectProblem::Comdat { symbol, .. } => {
            Report { symbol: Some(symbol.clone()), ..Report::error(error.to_string()) }
        }
        ObjectProblem::UnknownRelocation { .. }
        | ObjectProblem::AtOnce
        | ObjectProblem::WritableAndExecutable
        | ObjectProblem::Mismatch { .. }
        | ObjectProblem::Convention { .. } => Report::error(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> Place {
        Place { object: "a.o".into(), section: ".text".into(), offset: 0x1b, within: Some("_Z1fv".into()) }
    }

    #[test]
    fn every_error_of_a_link_names_symbol_and_place() {
        let unresolved = jitlink::Unresolved { name: "_Z1gv".into(), hidden: true, references: vec![place(); 5] };
        assert_eq!(
            link_error(&LinkError::Unresolved(vec![unresolved]), &[])[0].to_string(),
            "error: undefined symbol: g()\n    referenced by a.o:(.text+0x1b) in f()\n    referenced by a.o:(.text+0x1b) in f()\n    \
             referenced by a.o:(.text+0x1b) in f()\n    ... 2 more\n  \
             note: it is declared hidden: only an object of the same dylib could define it\n"
        );
        let far = LinkError::OutOfRange {
            place: Box::new(place()),
            kind: "Delta32",
            symbol: "x".into(),
            target: 0x1_0000_0000,
            at: 0x10,
            value: 0xffff_fff0,
            help: Some("compile with -fPIC".into()),
        };
        assert_eq!(
            link_error(&far, &[])[0].to_string(),
            "error: x is out of reach\n    referenced by a.o:(.text+0x1b) in f()\n    \
             Delta32 from 0x10 to 0x100000000: 0xfffffff0 does not fit\n  help: compile with -fPIC\n"
        );
    }

    #[test]
    fn unreadable_objects_are_one_clear_line() {
        let check = |problem, expected: &str| {
            let error = ObjectError { object: "a.o".into(), section: None, offset: None, problem };
            assert_eq!(object_error(&error).title, expected);
        };
        check(ObjectProblem::NotAnObject("text".into()), "a.o is not a relocatable object: it is text");
        check(
            ObjectProblem::WrongMachine { found: "aarch64".into(), wanted: "x86_64".into() },
            "a.o is for aarch64, not for x86_64",
        );
        let help = |found: &str, wanted: &str| {
            let problem = ObjectProblem::WrongMachine { found: found.into(), wanted: wanted.into() };
            object_error(&ObjectError { object: "a.o".into(), section: None, offset: None, problem }).to_string()
        };
        assert_eq!(
            help("aarch64", "x86_64"),
            "error: a.o is for aarch64, not for x86_64\n  help: compile it for x86_64, or have an executor for aarch64 run it: \
             --executor 'exec:qemu-aarch64 -L /usr/aarch64-linux-gnu PATH/orc-executor'\n"
        );
        assert!(help("x86_64", "aarch64").ends_with("help: compile it for aarch64\n"));
        check(ObjectProblem::Duplicate { symbol: "_Z1fv".into(), first: "b.o".into() }, "duplicate symbol: f()");
        check(ObjectProblem::Malformed("it ends early".into()), "a.o: malformed: it ends early");
    }
}
