//! Errors in the words of llvm-jitlink, one line each, and its names of fixups.

use super::files::Format;
use super::picture::Picture;
use jitlink::LinkError;
use jitlink::object::{ObjectError, ObjectProblem};
use orc_jit::Error;

/// What every line on standard error begins with.
const PREFIX: &str = "llvm-jitlink error: ";

/// An error as the lines that scripts look for.
pub(super) fn lines(error: &Error) -> Vec<String> {
    let text = match error {
        Error::Undefined(reports) => {
            let names = reports.iter().filter_map(|report| report.symbol.as_deref());
            not_found(names)
        }
        Error::Link { error, .. } => link(error),
        Error::Duplicate { symbol, first, second } => duplicate(symbol, first, second),
        Error::Object(ObjectError { object, problem: ObjectProblem::Duplicate { symbol, first }, .. }) => {
            duplicate(symbol, first, object)
        }
        Error::Read { file, error } => format!("{file}: {error}"),
        other => other.to_string(),
    };
    vec![line(&text)]
}

/// One line of it, whatever it is.
pub(super) fn line(text: &str) -> String {
    format!("{PREFIX}{}", text.replace('\n', " "))
}

/// Names that nobody defines.
pub(super) fn not_found<'n>(names: impl Iterator<Item = &'n str>) -> String {
    let names: Vec<&str> = names.collect();
    format!("Symbols not found: [ {} ]", names.join(", "))
}

fn duplicate(symbol: &str, first: &str, second: &str) -> String {
    format!(
        "In {second}, duplicate definition of {symbol}: Duplicate definition of symbol '{symbol}', first defined in {first}"
    )
}

fn link(error: &LinkError) -> String {
    match error {
        LinkError::Unresolved(names) => not_found(names.iter().map(|one| one.name.as_str())),
        LinkError::OutOfRange { place, kind, symbol, target, at, .. } => {
            let block = at.wrapping_sub(place.offset);
            let within = match &place.within {
                Some(name) => format!("{name}, "),
                None => "<anonymous block> @ ".to_owned(),
            };
            format!(
                "In graph {}, section {}: relocation target \"{symbol}\" at address {target:#x} is out of range of {} fixup at {at:#x} ({within}{block:#x} + {:#x})",
                place.object,
                place.section,
                self::kind(kind),
                place.offset,
            )
        }
        other => other.to_string(),
    }
}

/// LLVM's name of a fixup. Rows of one expression that differ in what becomes of the instruction have one name there.
pub(super) fn kind(name: &str) -> &str {
    match name.split_once(" (").map_or(name, |(name, _)| name) {
        "Branch32" => "BranchPCRel32",
        // Rows that differ in what fits have one name there, too.
        "Pointer32Either" => "Pointer32",
        "GotSlot32Relaxable" => "PCRel32GOTLoadRelaxable",
        "GotSlot32RelaxableRex" => "PCRel32GOTLoadREXRelaxable",
        other => other,
    }
}

/// The same, with the addend as LLVM counts it: branches and loads of x86 that are relative to the next instruction have none there where the field ends the
/// instruction. What is relative in COFF is so, too.
pub(super) fn kind_and_addend(picture: &Picture, name: &'static str, addend: i64) -> (&'static str, i64) {
    let relative = match kind(name) {
        "Delta32" if picture.format == Format::Coff => "PCRel32",
        other => other,
    };
    let counts = relative.starts_with("PCRel") || relative.starts_with("BranchPCRel");
    (relative, if counts { addend - picture.machine.operand_addend } else { addend })
}

#[cfg(test)]
mod tests {
    use super::*;
    use jitlink::Place;

    #[test]
    fn out_of_range() {
        let place = Place { object: "a.o".into(), section: ".text".into(), offset: 4, within: Some("main".into()) };
        let error = LinkError::OutOfRange {
            place: Box::new(place),
            kind: "Branch32 (call)",
            symbol: "far".into(),
            target: 0x1_0000_0000,
            at: 0x1004,
            value: 0,
            help: None,
        };
        let error = Error::Link { dylib: "main".into(), error: Box::new(error) };
        assert_eq!(
            lines(&error),
            [
                "llvm-jitlink error: In graph a.o, section .text: relocation target \"far\" at address 0x100000000 is out of range of BranchPCRel32 fixup at 0x1004 (main, 0x1000 + 0x4)"
            ]
        );
    }

    #[test]
    fn names_that_nobody_defines() {
        let names =
            ["a", "b"].map(|name| jitlink::Unresolved { name: name.into(), hidden: false, references: Vec::new() });
        let error = LinkError::Unresolved(names.into());
        let error = Error::Link { dylib: "main".into(), error: Box::new(error) };
        assert_eq!(lines(&error), ["llvm-jitlink error: Symbols not found: [ a, b ]"]);
    }

    #[test]
    fn a_second_definition() {
        let error = Error::Duplicate { symbol: "f".into(), first: "a.o".into(), second: "b.o".into() };
        let expected = "llvm-jitlink error: In b.o, duplicate definition of f: Duplicate definition of symbol 'f', first defined in a.o";
        assert_eq!(lines(&error), [expected]);
    }

    #[test]
    fn one_line_is_one_line() {
        assert_eq!(line("a\nb"), "llvm-jitlink error: a b");
    }
}
