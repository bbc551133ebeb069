//! Random programs: who needs whom, and what main, initializers, finalizers and exit handlers open, close and look up.
//!
//! A program prints as lines that a person can read, change and run again (`GLIBC_ORACLE_PROGRAM`), and is packed for the interpreter.
//! Not `dylib_graph::program`: acts here are calls of dlfcn.h, and both loaders run them in real code.

use dylib_graph::{DylibId, strategies};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use std::fmt;
use std::str::FromStr;

/// As many as there are objects. A program that has fewer leaves the last ones alone.
pub(crate) const LIBRARIES: usize = 12;

/// Each library defines `group_N` for every bit of its number that is set.
pub(crate) const GROUPS: u8 = 4;

/// One call that a script makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    Open(DylibId, Mode),
    /// Also of what was closed as often as it was opened, and of handles that are stale.
    Close(DylibId),
    /// `dlsym` for `group_N`, which every library defines whose number has that bit.
    Find(DylibId, u8),
    /// An exit handler of the library whose script this is.
    Register,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Local,
    Global,
    NoLoad,
    NoDelete,
}

/// What of a library calls the interpreter.
pub(crate) const PHASES: [&str; 3] = ["initializer", "finalizer", "handler"];

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Program {
    /// Link orders, for `dylib-1` to `dylib-12`.
    pub(crate) links: Vec<Vec<DylibId>>,
    /// What each library does in its [`PHASES`].
    pub(crate) scripts: Vec<[Vec<Act>; 3]>,
    pub(crate) main: Vec<Act>,
}

pub(crate) fn dylib(number: usize) -> DylibId {
    u32::try_from(number).ok().and_then(DylibId::new).expect("libraries count from 1")
}

impl Program {
    /// Fills up to [`LIBRARIES`].
    fn complete(mut self) -> Self {
        self.links.resize(LIBRARIES, Vec::new());
        self.scripts.resize(LIBRARIES, Default::default());
        self
    }

    /// As `oracle_play` reads it.
    pub(crate) fn packed(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for script in self.scripts.iter().flatten().chain([&self.main]) {
            bytes.push(u8::try_from(script.len()).expect("scripts are short"));
            for act in script {
                let number = |dylib: DylibId| dylib.get() as u8;
                bytes.extend(match *act {
                    Act::Open(dylib, mode) => [mode as u8, number(dylib), 0],
                    Act::Close(dylib) => [4, number(dylib), 0],
                    Act::Find(dylib, group) => [5, number(dylib), group],
                    Act::Register => [6, 0, 0],
                });
            }
        }
        bytes
    }
}

/// Programs over graphs of every shape; half of them over graphs whose order is forced. How many scripts there are differs from program to
/// program: those that finalizers and handlers play end many comparisons early.
pub(crate) fn programs() -> impl Strategy<Value = Program> {
    let graphs = prop_oneof![1 => strategies::links(LIBRARIES), 1 => forced()];
    // For each script of a phase that does something, so many that do nothing.
    let quiet = prop_oneof![2 => Just([8, 0, 0]), 4 => Just([4, 30, 30]), 2 => Just([2, 12, 12]), 1 => Just([2, 3, 3])];
    (graphs, quiet).prop_flat_map(|(links, quiet)| {
        let n = links.len();
        let script = |quiet: u32| match quiet {
            0 => Just(vec![]).boxed(),
            _ => prop_oneof![quiet => Just(vec![]), 1 => vec(act(n), 1..4)].boxed(),
        };
        (Just(links), vec(quiet.map(script), n), vec(act(n), 1..12)).prop_map(|(mut links, scripts, main)| {
            links.iter_mut().for_each(|links| links.truncate(LIBRARIES));
            Program { links, scripts, main }.complete()
        })
    })
}

/// Graphs in which each library needs the next one in some order, and others further on, itself, and some twice: rule 1 leaves one order.
fn forced() -> impl Strategy<Value = Vec<Vec<DylibId>>> {
    (1..=LIBRARIES).prop_flat_map(|n| {
        let order = Just((1..=n).collect::<Vec<_>>()).prop_shuffle();
        (order, vec(vec((0..LIBRARIES, 0..4_usize), 0..4), n)).prop_map(|(order, more)| {
            let n = order.len();
            let mut links = vec![Vec::new(); n];
            for (at, more) in more.into_iter().enumerate() {
                let links: &mut Vec<DylibId> = &mut links[order[at] - 1];
                links.extend(order.get(at + 1).map(|&next| dylib(next)));
                for (further, place) in more {
                    let further = dylib(order[at + further % (n - at)]);
                    links.insert(place.min(links.len()), further);
                }
            }
            links
        })
    })
}

fn act(n: usize) -> impl Strategy<Value = Act> + Clone {
    let any = select((1..=n).map(dylib).collect::<Vec<_>>());
    let open = |mode| any.clone().prop_map(move |dylib| Act::Open(dylib, mode));
    prop_oneof![
        60 => open(Mode::Local),
        8 => open(Mode::Global),
        8 => open(Mode::NoLoad),
        1 => open(Mode::NoDelete),
        50 => any.clone().prop_map(Act::Close),
        15 => (any.clone(), 0..GROUPS).prop_map(|(dylib, group)| Act::Find(dylib, group)),
        12 => Just(Act::Register),
    ]
}

const OPENS: [(&str, Mode); 4] = [
    ("open", Mode::Local),
    ("open-global", Mode::Global),
    ("open-noload", Mode::NoLoad),
    ("open-nodelete", Mode::NoDelete),
];

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Open(dylib, mode) => write!(f, "{} o{}", OPENS[mode as usize].0, dylib.get()),
            Self::Close(dylib) => write!(f, "close o{}", dylib.get()),
            Self::Find(dylib, group) => write!(f, "find o{} group_{group}", dylib.get()),
            Self::Register => write!(f, "register"),
        }
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |script: &[Act]| script.iter().map(Act::to_string).collect::<Vec<_>>().join(", ");
        for (at, links) in self.links.iter().enumerate().filter(|(_, links)| !links.is_empty()) {
            let links: Vec<_> = links.iter().map(|link| format!("o{}", link.get())).collect();
            writeln!(f, "o{} needs {}", at + 1, links.join(" "))?;
        }
        for (at, scripts) in self.scripts.iter().enumerate() {
            for (phase, script) in PHASES.iter().zip(scripts).filter(|(_, script)| !script.is_empty()) {
                writeln!(f, "o{} {phase}: {}", at + 1, list(script))?;
            }
        }
        writeln!(f, "main: {}", list(&self.main))
    }
}

impl FromStr for Program {
    type Err = String;

    /// Reads what [`Display`](fmt::Display) writes; lines may also end with `;`.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut program = Self::default().complete();
        for line in text.split(['\n', ';']).map(str::trim).filter(|line| !line.is_empty()) {
            let unknown = || format!("not a line of a program: {line}");
            if let Some((who, needs)) = line.split_once(" needs ") {
                program.links[named(who)?.index()] = needs.split_whitespace().map(named).collect::<Result<_, _>>()?;
                continue;
            }
            let (who, acts) = line.split_once(':').ok_or_else(unknown)?;
            let acts = acts.split(',').map(|act| act.trim().parse()).collect::<Result<_, _>>()?;
            match who.split_once(' ') {
                None if who == "main" => program.main = acts,
                Some((who, phase)) => {
                    let at = PHASES.iter().position(|each| *each == phase).ok_or_else(unknown)?;
                    program.scripts[named(who)?.index()][at] = acts;
                }
                None => return Err(unknown()),
            }
        }
        Ok(program)
    }
}

impl FromStr for Act {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let words: Vec<_> = text.split_whitespace().collect();
        match words[..] {
            ["close", who] => Ok(Self::Close(named(who)?)),
            ["find", who, group] => {
                let group =
                    group.strip_prefix("group_").and_then(|group| group.parse().ok()).filter(|group| *group < GROUPS);
                Ok(Self::Find(named(who)?, group.ok_or_else(|| format!("not a group: {text}"))?))
            }
            ["register"] => Ok(Self::Register),
            [open, who] => {
                let mode = OPENS.iter().find(|(name, _)| *name == open).ok_or_else(|| format!("not an act: {text}"))?;
                Ok(Self::Open(named(who)?, mode.1))
            }
            _ => Err(format!("not an act: {text}")),
        }
    }
}

fn named(name: &str) -> Result<DylibId, String> {
    let number = name.strip_prefix('o').and_then(|number| number.parse().ok());
    match number {
        Some(number) if (1..=LIBRARIES).contains(&number) => Ok(dylib(number)),
        _ => Err(format!("not a library: {name}; there are o1 to o{LIBRARIES}")),
    }
}
