//! Reports as text: for people, or a JSON object a line.

use super::{Level, Report, demangle};
use anstyle::{AnsiColor, Style};
use std::fmt::{self, Write as _};

/// Who reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// People, on a terminal that may or may not show colors.
    Human {
        /// With ANSI escape sequences.
        color: bool,
    },
    /// Programs: one JSON object a line.
    Json,
}

/// So many references are shown to people; programs get all that were collected.
const SHOWN: usize = 3;

/// `report` as text that ends with a line break.
#[must_use]
pub fn render(report: &Report, format: Format) -> String {
    match format {
        Format::Human { color: true } => format!("{}", Human { report, palette: &COLORED }),
        Format::Human { color: false } => format!("{}", Human { report, palette: &PLAIN }),
        Format::Json => match serde_json::to_string(report) {
            Ok(json) => json + "\n",
            // Strings and numbers are always representable.
            Err(error) => format!("{{\"level\":\"error\",\"title\":\"{error}\"}}\n"),
        },
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&Human { report: self, palette: &PLAIN }, f)
    }
}

struct Palette {
    error: Style,
    warning: Style,
    title: Style,
    note: Style,
    help: Style,
}

const PLAIN: Palette =
    Palette { error: Style::new(), warning: Style::new(), title: Style::new(), note: Style::new(), help: Style::new() };

const COLORED: Palette = Palette {
    error: AnsiColor::Red.on_default().bold(),
    warning: AnsiColor::Yellow.on_default().bold(),
    title: Style::new().bold(),
    note: AnsiColor::Cyan.on_default().bold(),
    help: AnsiColor::Green.on_default().bold(),
};

struct Human<'r> {
    report: &'r Report,
    palette: &'r Palette,
}

impl fmt::Display for Human<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { report, palette } = self;
        let (style, word) = match report.level {
            Level::Error => (palette.error, "error"),
            Level::Warning => (palette.warning, "warning"),
        };
        let title = palette.title;
        writeln!(f, "{style}{word}{style:#}{title}: {}{title:#}", printable(&report.title))?;
        for reference in report.references.iter().take(SHOWN) {
            write!(
                f,
                "    referenced by {}:({}+{:#x})",
                printable(&reference.object),
                printable(&reference.section),
                reference.offset
            )?;
            match &reference.function {
                Some(function) => writeln!(f, " in {}", printable(&demangle(function)))?,
                None => writeln!(f)?,
            }
        }
        let hidden = report.reference_count.max(report.references.len()).saturating_sub(SHOWN);
        if hidden > 0 && !report.references.is_empty() {
            writeln!(f, "    ... {hidden} more")?;
        }
        for line in &report.details {
            writeln!(f, "    {}", printable(line))?;
        }
        let labelled = report.notes.iter().map(|line| ("note", palette.note, line));
        for (label, style, line) in labelled.chain(report.help.iter().map(|line| ("help", palette.help, line))) {
            writeln!(f, "  {style}{label}{style:#}: {}", printable(line))?;
        }
        Ok(())
    }
}

/// Names come from files: none of them may command the terminal.
fn printable(text: &str) -> impl fmt::Display {
    struct Printable<'a>(&'a str);
    impl fmt::Display for Printable<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            let mut rest = self.0;
            while let Some(at) = rest.find(|c: char| c.is_control() && c != '\t') {
                f.write_str(&rest[..at])?;
                let control = rest[at..].chars().next().unwrap_or(' ');
                write!(f, "{}", control.escape_default())?;
                rest = &rest[at + control.len_utf8()..];
            }
            f.write_str(rest)
        }
    }
    // One allocation keeps the signature free of lifetimes of the report.
    let mut shown = String::with_capacity(text.len());
    let _ = write!(shown, "{}", Printable(text));
    shown
}

#[cfg(test)]
mod tests {
    use super::super::Reference;
    use super::*;

    fn sample() -> Report {
        let reference = |offset| Reference {
            object: "lib.a(m.o)".into(),
            section: ".text".into(),
            offset,
            function: Some("_ZN1A1fEv".into()),
        };
        Report {
            symbol: Some("g".into()),
            references: (0..4).map(reference).collect(),
            reference_count: 1200,
            ..Report::error("undefined symbol: g").note("n").help("h")
        }
    }

    #[test]
    fn people_see_the_first_references_and_the_number_of_the_rest() {
        let expected = "\
error: undefined symbol: g
    referenced by lib.a(m.o):(.text+0x0) in A::f()
    referenced by lib.a(m.o):(.text+0x1) in A::f()
    referenced by lib.a(m.o):(.text+0x2) in A::f()
    ... 1197 more
  note: n
  help: h
";
        assert_eq!(render(&sample(), Format::Human { color: false }), expected);
        let colored = render(&sample(), Format::Human { color: true });
        assert!(colored.starts_with("\u{1b}[1m\u{1b}[31merror\u{1b}[0m"), "{colored:?}");
    }

    #[test]
    fn programs_see_everything() {
        let json = render(&sample(), Format::Json);
        let value: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(value["level"], "error");
        assert_eq!(value["symbol"], "g");
        assert_eq!(value["references"].as_array().unwrap().len(), 4);
        assert_eq!(value["references"][3]["offset"], 3);
        assert_eq!(value["reference_count"], 1200);
        assert!(value.get("details").is_none());
        assert_eq!(json.matches('\n').count(), 1);
    }

    #[test]
    fn names_cannot_command_the_terminal() {
        assert_eq!(Report::error("a\u{1b}[2Jb\nc").to_string(), "error: a\\u{1b}[2Jb\\nc\n");
    }
}
