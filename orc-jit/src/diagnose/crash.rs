//! The death of an executor, told: what ended it, where in the user's code, who called that, and what was under way.
//!
//! **You give** what is known, and it may be little: a signal or an exit status, what the system said of a fault, frames, the last calls.
//! **You get** a [`Report`]. **Not here:** finding any of it out (`Session::frames` resolves addresses).

use super::place::{CodePlace, SourceLine};
use super::{Report, demangle};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// What is known of an executor's death.
///
/// ```
/// use orc_jit::diagnose::{Access, CrashReport, Ending, Fault, Frame};
///
/// let mut crash = CrashReport::new(Ending::Signal(11));
/// crash.fault = Some(Fault { access: Some(Access::Read), ..Fault::new(1, 0x0) });
/// crash.frames.push(Frame { dylib: Some("main".into()), library: None, function: "init_config".into(), offset: 0x1f, places: Vec::new() });
/// crash.last_calls.push("open main (waiting)".into());
/// assert_eq!(crash.report().to_string(), "\
/// error: the program was ended by signal 11 (SIGSEGV): it read address 0x0, through a null pointer
///     in init_config+0x1f (dylib main)
///   note: the last calls: open main (waiting)
/// ");
/// assert_eq!(crash.exit_code(), 139);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CrashReport {
    /// How it ended.
    #[serde(flatten)]
    pub ending: Ending,
    /// What the system said about the instruction that could not go on, where the executor lived long enough to pass it on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<Fault>,
    /// Where the thread was, innermost first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub frames: Vec<Frame>,
    /// The last calls between controller and executor, the oldest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub last_calls: Vec<String>,
    /// People see files below this folder by their path from there.
    #[serde(skip)]
    pub folder: Option<PathBuf>,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Ending {
    /// By this signal, in the numbers of Linux.
    #[serde(rename = "signal")]
    Signal(i32),
    /// With this exit status, though its session was not over.
    #[serde(rename = "exit_status")]
    Exit(i32),
}

/// A fault, as `siginfo_t` and the registers tell it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// `si_code`.
    pub code: i32,
    /// `si_addr`: what was accessed, or for arithmetic and illegal instructions the instruction.
    pub address: u64,
    /// Where the instruction stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instruction: Option<u64>,
    /// The stack pointer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stack_pointer: Option<u64>,
    /// What was to be done with the address, where the processor says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access: Option<Access>,
    /// The thread's name, unless it is the program's first one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thread: Option<String>,
}

/// What an instruction does with memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Access {
    /// Loads from it.
    Read,
    /// Stores to it.
    Write,
    /// Is itself there.
    Execute,
}

/// One frame of a stack.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Frame {
    /// The dylib.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dylib: Option<String>,
    /// The shared library or the program, for code that was not linked by a session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub library: Option<String>,
    /// The function, as objects spell it; empty when nobody knows it.
    pub function: String,
    /// How far in it, in bytes: the instruction, or where a caller will go on. Of a function that is not known: in its library.
    pub offset: u64,
    /// Where that is in the inputs: several places when functions of the same name and size cannot be told apart.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub places: Vec<CodePlace>,
}

/// Signals by number (Linux, all machines that we run on), with what they mean when nothing else is known.
const SIGNALS: [(i32, &str, &str); 21] = [
    (1, "SIGHUP", "its terminal was closed"),
    (2, "SIGINT", "it was interrupted"),
    (3, "SIGQUIT", "it was told to quit"),
    (ILL, "SIGILL", "it came to something that is no instruction"),
    (TRAP, "SIGTRAP", "it came to a breakpoint"),
    (6, "SIGABRT", "it called abort, or an assertion of it failed"),
    (BUS, "SIGBUS", "it used memory that the system could not provide"),
    (FPE, "SIGFPE", "its arithmetic has no result"),
    (9, "SIGKILL", "somebody killed it, or the system was out of memory"),
    (10, "SIGUSR1", ""),
    (SEGV, "SIGSEGV", "it used memory that is not there, or not in this way"),
    (12, "SIGUSR2", ""),
    (13, "SIGPIPE", "nobody read what it wrote"),
    (14, "SIGALRM", "its alarm went off"),
    (15, "SIGTERM", "it was told to end"),
    (16, "SIGSTKFLT", ""),
    (24, "SIGXCPU", "it used more processor time than it may"),
    (25, "SIGXFSZ", "it wrote a larger file than it may"),
    (26, "SIGVTALRM", "its alarm went off"),
    (27, "SIGPROF", "its alarm went off"),
    (31, "SIGSYS", "it made a system call that it may not make"),
];

const ILL: i32 = 4;
const TRAP: i32 = 5;
const BUS: i32 = 7;
const FPE: i32 = 8;
const SEGV: i32 = 11;

/// What `si_code` says for a signal (sigaction(2)). `{access}` becomes "it read address 0x0".
const CODES: [(i32, i32, &str); 27] = [
    (SEGV, MAPERR, "{access}, where nothing is mapped"),
    (SEGV, ACCERR, "{access}, which the protection of its page forbids"),
    (SEGV, 3, "{access}, outside of the bounds that were set for it"),
    (SEGV, 4, "{access}, which the protection key of its page forbids"),
    (SEGV, KERNEL, "it used an address that no memory can have, or an instruction that only the system may use"),
    (BUS, 1, "{access}, which is not aligned as it must be"),
    (BUS, 2, "{access}, for which there is no memory: a file that is mapped there may have been cut off"),
    (BUS, 3, "{access}: the hardware failed"),
    (BUS, 4, "{access}: the memory is damaged"),
    (BUS, 5, "{access}: the memory is damaged"),
    (FPE, 1, "it divided an integer by zero"),
    (FPE, 2, "an integer became too large"),
    (FPE, 3, "it divided by zero"),
    (FPE, 4, "a result was too large"),
    (FPE, 5, "a result was too small"),
    (FPE, 6, "a result was not exact"),
    (FPE, 7, "an operation has no result"),
    (FPE, 8, "a subscript was out of range"),
    (ILL, 1, "it came to something that is no instruction"),
    (ILL, 2, "it came to an instruction that stops a program where it must not be, as __builtin_trap leaves one"),
    (ILL, 3, "it came to an instruction with a wrong way of addressing"),
    (ILL, 4, "it came to an instruction that traps"),
    (ILL, 5, "it came to an instruction that only the system may use"),
    (ILL, 6, "it used a register that only the system may use"),
    (TRAP, 1, "it came to a breakpoint"),
    (TRAP, 2, "it was traced"),
    (TRAP, KERNEL, "it came to a breakpoint"),
];

const MAPERR: i32 = 1;
const ACCERR: i32 = 2;
/// `SI_KERNEL`.
const KERNEL: i32 = 0x80;
/// `SI_USER` and `SI_TKILL`: no instruction is to blame.
const SENT: [(i32, &str); 2] = [(0, "another process sent it"), (-6, "the program sent it to itself")];

/// What lies below is reached from a null pointer: fields of a structure, elements of an array.
const FIRST_PAGE: u64 = 0x1000;
/// An address this near to the stack pointer, below or above, is the stack's.
const NEAR_STACK: u64 = 0x1_0000;

/// So many frames are shown to people, and so many places of one.
const FRAMES: usize = 16;
const PLACES: usize = 3;

/// A signal's name; `None` for those without one, such as real-time signals.
#[must_use]
pub fn signal_name(signal: i32) -> Option<&'static str> {
    SIGNALS.iter().find(|(number, ..)| *number == signal).map(|(_, name, _)| *name)
}

impl Fault {
    /// A fault of which only the code and the address are known.
    #[must_use]
    pub fn new(code: i32, address: u64) -> Self {
        Self { code, address, instruction: None, stack_pointer: None, access: None, thread: None }
    }

    /// Whether the address is just beyond what the thread's stack has.
    fn is_stack_overflow(&self) -> bool {
        matches!(self.code, MAPERR | ACCERR)
            && self.address >= FIRST_PAGE
            && self.stack_pointer.is_some_and(|stack| stack.abs_diff(self.address) < NEAR_STACK)
    }

    fn access(&self) -> String {
        let fetched = self.instruction == Some(self.address);
        let verb = match self.access {
            _ if fetched => "executed",
            Some(Access::Execute) => "executed",
            Some(Access::Read) => "read",
            Some(Access::Write) => "wrote",
            None => "used",
        };
        format!("it {verb} address {:#x}", self.address)
    }

    /// What went wrong, in a clause.
    fn cause(&self, signal: i32) -> Option<String> {
        if let Some((_, sent)) = SENT.iter().find(|(code, _)| *code == self.code) {
            return Some((*sent).to_owned());
        }
        let access = self.access();
        if signal == SEGV && self.is_stack_overflow() {
            return Some(format!("{access}, beyond the end of its stack"));
        }
        if signal == SEGV && self.code == MAPERR && self.address < FIRST_PAGE {
            return Some(format!("{access}, through a null pointer"));
        }
        let row = CODES.iter().find(|(of, code, _)| (*of, *code) == (signal, self.code));
        row.map(|(.., text)| text.replace("{access}", &access))
    }
}

impl CrashReport {
    /// A death of which no more is known.
    #[must_use]
    pub fn new(ending: Ending) -> Self {
        Self { ending, fault: None, frames: Vec::new(), last_calls: Vec::new(), folder: None }
    }

    /// The exit code of a command whose program ended so: as shells say it.
    #[must_use]
    pub fn exit_code(&self) -> i32 {
        match self.ending {
            Ending::Signal(signal) => 128 + signal,
            Ending::Exit(status) => status,
        }
    }

    /// What is to be told. The report carries all of this for programs.
    #[must_use]
    pub fn report(&self) -> Report {
        let mut report = Report::error(self.title());
        if let Some(thread) = self.fault.as_ref().and_then(|fault| fault.thread.as_ref()) {
            report.details.push(format!("in thread {thread}"));
        }
        if self.frames.is_empty()
            && let Some(instruction) = self.fault.as_ref().and_then(|fault| fault.instruction)
        {
            report.details.push(format!("at {instruction:#x}, outside of linked code"));
        }
        for (depth, frame) in self.frames.iter().take(FRAMES).enumerate() {
            self.tell(frame, if depth == 0 { "in" } else { "called from" }, &mut report.details);
        }
        if self.frames.len() > FRAMES {
            report.details.push(format!("... {} more", self.frames.len() - FRAMES));
        }
        if !self.last_calls.is_empty() {
            report.notes.push(format!("the last calls: {}", self.last_calls.join(", ")));
        }
        if self.ending == Ending::Signal(SEGV) && self.fault.as_ref().is_some_and(Fault::is_stack_overflow) {
            report.help.push("look for calls that never return, or give it more stack: `ulimit -s`".into());
        }
        report.crash = Some(Box::new(self.clone()));
        report
    }

    fn title(&self) -> String {
        let signal = match self.ending {
            Ending::Exit(status) => {
                return format!("the executor ended with exit status {status} before the program was at its end");
            }
            Ending::Signal(signal) => signal,
        };
        let known = SIGNALS.iter().find(|(number, ..)| *number == signal);
        let usual = known.map(|(.., meaning)| (*meaning).to_owned()).filter(|meaning| !meaning.is_empty());
        let cause = self.fault.as_ref().and_then(|fault| fault.cause(signal)).or(usual);
        let name = known.map_or_else(String::new, |(_, name, _)| format!(" ({name})"));
        let cause = cause.map_or_else(String::new, |cause| format!(": {cause}"));
        format!("the program was ended by signal {signal}{name}{cause}")
    }

    /// A frame's lines: what is inlined there from the inside to the outside, then the function itself.
    fn tell(&self, frame: &Frame, how: &str, lines: &mut Vec<String>) {
        let mut how = how;
        let mut line = None;
        if let Some(place) = frame.places.first() {
            line = place.line.as_ref();
            for inlined in &place.inlined {
                lines.push(format!("{how} {}{}", demangle(&inlined.function), self.at(line)));
                how = "inlined into";
                line = inlined.called_from.as_ref();
            }
        }
        let dylib = frame.dylib.as_ref().map(|dylib| format!("dylib {dylib}"));
        let first = frame.places.first().map(object);
        if let (Some(library), true) = (&frame.library, frame.function.is_empty()) {
            lines.push(format!("{how} {library}+{:#x}", frame.offset));
            return;
        }
        let owners: Vec<String> = first.into_iter().chain(dylib).chain(frame.library.clone()).collect();
        let owners = if owners.is_empty() { String::new() } else { format!(" ({})", owners.join(", ")) };
        lines.push(format!("{how} {}+{:#x}{}{owners}", demangle(&frame.function), frame.offset, self.at(line)));
        for other in frame.places.iter().skip(1).take(PLACES - 1) {
            lines.push(format!("or the one{} ({})", self.at(other.line.as_ref()), object(other)));
        }
        if frame.places.len() > PLACES {
            lines.push(format!("or {} others of that name", frame.places.len() - PLACES));
        }
    }

    fn at(&self, line: Option<&SourceLine>) -> String {
        let Some(SourceLine { file, line, .. }) = line else { return String::new() };
        let inside = self.folder.as_ref().and_then(|folder| Path::new(file).strip_prefix(folder).ok());
        format!(" at {}:{line}", inside.unwrap_or(Path::new(file)).display())
    }
}

fn object(place: &CodePlace) -> String {
    format!("{}:({}+{:#x})", place.object, place.section, place.section_offset)
}

impl From<&CrashReport> for Report {
    fn from(crash: &CrashReport) -> Self {
        crash.report()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Format, Inlined, render};
    use super::*;

    fn line(file: &str, line: u32) -> SourceLine {
        SourceLine { file: file.into(), line, column: None }
    }

    fn place(object: &str, at: u64, line: SourceLine) -> CodePlace {
        let section = ".text".into();
        CodePlace { object: object.into(), section, section_offset: at, line: Some(line), inlined: Vec::new() }
    }

    fn frame(function: &str, offset: u64, places: Vec<CodePlace>) -> Frame {
        Frame { dylib: Some("main".into()), library: None, function: function.into(), offset, places }
    }

    #[track_caller]
    fn says(ending: Ending, fault: Option<Fault>, title: &str) {
        let crash = CrashReport { fault, ..CrashReport::new(ending) };
        assert_eq!(crash.report().title, title);
    }

    #[test]
    fn a_whole_crash() {
        let mut crash = CrashReport::new(Ending::Signal(11));
        crash.fault = Some(Fault { access: Some(Access::Read), instruction: Some(0x51f), ..Fault::new(MAPERR, 0) });
        crash.folder = Some("/src".into());
        crash.frames = vec![
            frame("_Z11init_configv", 0x1f, vec![place("config.o", 0x1f, line("/src/config.c", 12))]),
            frame("start", 0x8, vec![place("lib.a(s.o)", 0x48, line("/lib/s.c", 3))]),
        ];
        crash.last_calls = vec!["open main (waiting)".into(), "plan for main".into()];
        let report = crash.report();
        assert_eq!(
            report.to_string(),
            "\
error: the program was ended by signal 11 (SIGSEGV): it read address 0x0, through a null pointer
    in init_config()+0x1f at config.c:12 (config.o:(.text+0x1f), dylib main)
    called from start+0x8 at /lib/s.c:3 (lib.a(s.o):(.text+0x48), dylib main)
  note: the last calls: open main (waiting), plan for main
"
        );
        let json: serde_json::Value = serde_json::from_str(&render(&report, Format::Json)).unwrap();
        let crash = &json["crash"];
        assert_eq!((&crash["signal"], &crash["fault"]["address"]), (&11.into(), &0.into()));
        assert_eq!(crash["frames"][0]["places"][0]["line"]["file"], "/src/config.c");
        assert_eq!(crash["frames"][1]["function"], "start");
        assert!(crash.get("folder").is_none() && crash["fault"].get("thread").is_none());
    }

    #[test]
    fn inlined_functions_are_told_from_the_inside() {
        let mut inner = place("a.o", 0x10, line("a.c", 1));
        let inlined = |function: &str, at| Inlined { function: function.into(), called_from: Some(line("a.c", at)) };
        inner.inlined = vec![inlined("_ZL4leafi", 2), inlined("twig", 3)];
        let crash = CrashReport { frames: vec![frame("f", 0x10, vec![inner])], ..CrashReport::new(Ending::Signal(6)) };
        assert_eq!(
            crash.report().details,
            [
                "in leaf(int) at a.c:1",
                "inlined into twig at a.c:2",
                "inlined into f+0x10 at a.c:3 (a.o:(.text+0x10), dylib main)"
            ]
        );
    }

    #[test]
    fn functions_that_cannot_be_told_apart_are_all_named() {
        let places =
            ["a", "b", "c", "d", "e"].map(|name| place(&format!("{name}.o"), 4, line(&format!("{name}.c"), 1)));
        let crash =
            CrashReport { frames: vec![frame("local", 4, places.into())], ..CrashReport::new(Ending::Signal(11)) };
        assert_eq!(
            crash.report().details,
            [
                "in local+0x4 at a.c:1 (a.o:(.text+0x4), dylib main)",
                "or the one at b.c:1 (b.o:(.text+0x4))",
                "or the one at c.c:1 (c.o:(.text+0x4))",
                "or 2 others of that name"
            ]
        );
    }

    #[test]
    fn every_cause_has_its_words() {
        let signal = Ending::Signal;
        let fault = |code, address| Some(Fault::new(code, address));
        let ended = "the program was ended by signal";
        says(signal(11), None, &format!("{ended} 11 (SIGSEGV): it used memory that is not there, or not in this way"));
        says(
            signal(11),
            fault(1, 0xfff),
            &format!("{ended} 11 (SIGSEGV): it used address 0xfff, through a null pointer"),
        );
        says(
            signal(11),
            fault(1, 0x1000),
            &format!("{ended} 11 (SIGSEGV): it used address 0x1000, where nothing is mapped"),
        );
        let wrote = Fault { access: Some(Access::Write), ..Fault::new(2, 0x40_0000) };
        says(
            signal(11),
            Some(wrote),
            &format!("{ended} 11 (SIGSEGV): it wrote address 0x400000, which the protection of its page forbids"),
        );
        let jumped = Fault { instruction: Some(0), access: Some(Access::Read), ..Fault::new(1, 0) };
        says(
            signal(11),
            Some(jumped),
            &format!("{ended} 11 (SIGSEGV): it executed address 0x0, through a null pointer"),
        );
        says(signal(8), fault(1, 0x5000), &format!("{ended} 8 (SIGFPE): it divided an integer by zero"));
        says(signal(11), fault(0, 0), &format!("{ended} 11 (SIGSEGV): another process sent it"));
        says(signal(6), fault(-6, 0), &format!("{ended} 6 (SIGABRT): the program sent it to itself"));
        says(signal(9), None, &format!("{ended} 9 (SIGKILL): somebody killed it, or the system was out of memory"));
        says(signal(12), None, &format!("{ended} 12 (SIGUSR2)"));
        says(signal(40), fault(99, 1), &format!("{ended} 40"));
        says(Ending::Exit(3), None, "the executor ended with exit status 3 before the program was at its end");
    }

    #[test]
    fn a_full_stack_is_told_by_the_stack_pointer() {
        let stack = 0x7fff_0000_1000;
        for (address, full) in [(stack - 8, true), (stack + 0x800, true), (stack - 0x10_0000, false), (0x10, false)] {
            let fault = Fault { stack_pointer: Some(stack), ..Fault::new(MAPERR, address) };
            let crash = CrashReport { fault: Some(fault), ..CrashReport::new(Ending::Signal(SEGV)) };
            let report = crash.report();
            assert_eq!(report.title.ends_with("beyond the end of its stack"), full, "{}", report.title);
            assert_eq!(report.help.len(), usize::from(full));
        }
    }

    #[test]
    fn little_is_told_when_little_is_known() {
        let fault = Fault { instruction: Some(0x1234), thread: Some("worker".into()), ..Fault::new(ACCERR, 0x1234) };
        let crash = CrashReport { fault: Some(fault), ..CrashReport::new(Ending::Signal(SEGV)) };
        assert_eq!(crash.report().details, ["in thread worker", "at 0x1234, outside of linked code"]);
        let many = vec![frame("f", 1, Vec::new()); 20];
        let crash = CrashReport { frames: many, ..CrashReport::new(Ending::Signal(SEGV)) };
        assert_eq!(crash.report().details.len(), FRAMES + 1);
        assert_eq!(crash.report().details[FRAMES], "... 4 more");
    }

    #[test]
    fn what_no_session_has_linked_is_told_by_its_library() {
        let library = Some("/lib/libc.so.6".to_owned());
        let qsort = Frame { dylib: None, library: library.clone(), ..frame("qsort", 0x10, Vec::new()) };
        let unknown = Frame { dylib: None, library, ..frame("", 0x1234, Vec::new()) };
        let crash = CrashReport { frames: vec![qsort, unknown], ..CrashReport::new(Ending::Signal(SEGV)) };
        assert_eq!(crash.report().details, ["in qsort+0x10 (/lib/libc.so.6)", "called from /lib/libc.so.6+0x1234"]);
    }

    #[test]
    fn exit_codes_are_those_of_a_shell() {
        assert_eq!(CrashReport::new(Ending::Signal(9)).exit_code(), 137);
        assert_eq!(CrashReport::new(Ending::Exit(3)).exit_code(), 3);
        assert_eq!((signal_name(15), signal_name(64)), (Some("SIGTERM"), None));
    }

    #[test]
    fn tables_have_no_row_twice() {
        let mut signals: Vec<i32> = SIGNALS.iter().map(|(number, ..)| *number).collect();
        signals.dedup();
        assert!(signals.len() == SIGNALS.len() && signals.is_sorted());
        let mut codes: Vec<(i32, i32)> = CODES.iter().map(|(signal, code, _)| (*signal, *code)).collect();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), CODES.len());
    }
}
