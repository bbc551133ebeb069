//! What orc says on standard error, and how.

use super::args::{ColorWhen, MessageFormat, TalkArgs};
use anstream::{AutoStream, ColorChoice};
use orc_jit::diagnose::{Format, Report, render};
use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

/// The command line is wrong.
pub(crate) const USAGE: u8 = 2;
/// orc could not link, or could not reach the executor.
pub(crate) const CANNOT_LINK: u8 = 125;

/// How to talk to the user.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Talk {
    format: MessageFormat,
    color: ColorChoice,
    quiet: bool,
    verbose: u8,
}

/// How long a phase took, and what was done in it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TimeLine<'a> {
    pub(crate) phase: &'a str,
    /// The phase that it is a part of.
    pub(crate) within: Option<&'a str>,
    pub(crate) took: Duration,
    pub(crate) figures: &'a [(&'static str, u64)],
}

impl TimeLine<'_> {
    fn milliseconds(&self) -> f64 {
        self.took.as_secs_f64() * 1e3
    }

    fn human(&self) -> String {
        let indent = if self.within.is_some() { "  " } else { "" };
        let figure = |(what, count): &(&str, u64)| match (count, *what) {
            (1, "batches") => "1 batch".to_owned(),
            (1, what) => format!("1 {}", what.trim_end_matches('s')),
            (_, what) => format!("{} {what}", grouped(*count)),
        };
        let figures: Vec<String> = self.figures.iter().map(figure).collect();
        let name = format!("{indent}{}", self.phase);
        format!("time: {:10.3} ms  {name:<14}{}", self.milliseconds(), figures.join(", ")).trim_end().to_owned()
    }

    fn json(&self) -> serde_json::Value {
        let mut line = serde_json::json!({ "level": "time", "phase": self.phase, "milliseconds": self.milliseconds() });
        if let Some(within) = self.within {
            line["within"] = within.into();
        }
        for (what, count) in self.figures {
            line[*what] = (*count).into();
        }
        line
    }
}

/// A number with its digits in groups of three.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().filter_map(|group| std::str::from_utf8(group).ok()).collect();
    groups.join(",")
}

impl Default for Talk {
    /// For what goes wrong before the command line is understood.
    fn default() -> Self {
        Self { format: MessageFormat::Human, color: ColorChoice::Auto, quiet: false, verbose: 0 }
    }
}

impl Talk {
    pub(crate) fn new(args: TalkArgs) -> Self {
        let color = match args.color {
            ColorWhen::Auto => ColorChoice::Auto,
            ColorWhen::Always => ColorChoice::Always,
            ColorWhen::Never => ColorChoice::Never,
        };
        Self { format: args.message_format, color, quiet: args.quiet, verbose: args.verbose }
    }

    /// Says what went wrong; the exit code for it.
    pub(crate) fn fail(&self, reports: &[Report]) -> ExitCode {
        self.show(reports);
        ExitCode::from(CANNOT_LINK)
    }

    /// Says that the command line is wrong; the exit code for it.
    pub(crate) fn usage(&self, message: &str, help: Option<&str>) -> ExitCode {
        let mut report = Report::error(message);
        report.help.extend(help.map(str::to_owned));
        self.show(&[report]);
        ExitCode::from(USAGE)
    }

    /// Whether somebody wants to hear how things go, in this detail.
    pub(crate) fn is_asked(&self, level: u8) -> bool {
        self.verbose >= level && !self.quiet
    }

    /// Says how things go, to those who asked (`-v`).
    pub(crate) fn progress(&self, level: u8, line: &str) {
        if self.is_asked(level) {
            // Nobody can be told that standard error is closed.
            let _ = writeln!(std::io::stderr().lock(), "{line}");
        }
    }

    /// Says what did not go well, and does not matter.
    pub(crate) fn warn(&self, title: &str) {
        if !self.quiet {
            self.show(&[Report::warning(title)]);
        }
    }

    /// Says how long a phase took.
    pub(crate) fn time(&self, line: &TimeLine<'_>) {
        let text = match self.format {
            MessageFormat::Human => line.human(),
            MessageFormat::Json => line.json().to_string(),
        };
        // One write: what the program says at the same time does not come in between.
        let _ = std::io::stderr().lock().write_all(format!("{text}\n").as_bytes());
    }

    /// How it is said. The stream takes colors out again where they are not wanted.
    fn format(&self) -> Format {
        match self.format {
            MessageFormat::Human => Format::Human { color: true },
            MessageFormat::Json => Format::Json,
        }
    }

    /// What [`Self::show`] would write.
    pub(crate) fn bytes(&self, report: &Report) -> Vec<u8> {
        let color = match self.color {
            ColorChoice::Auto => AutoStream::choice(&std::io::stderr()),
            chosen => chosen,
        };
        let mut bytes = AutoStream::new(Vec::new(), color);
        // A vector takes everything.
        let _ = bytes.write_all(render(report, self.format()).as_bytes());
        bytes.into_inner()
    }

    /// Says it.
    pub(crate) fn show(&self, reports: &[Report]) {
        let format = self.format();
        let mut stderr = AutoStream::new(std::io::stderr(), self.color).lock();
        for report in reports {
            let _ = stderr.write_all(render(report, format).as_bytes());
        }
    }
}
