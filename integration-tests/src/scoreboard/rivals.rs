//! Who takes part, and the command lines that each needs to get from objects on disk to the program's end.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::scoreboard::Result;
use crate::scoreboard::args::Options;
use crate::scoreboard::board::Table;
use crate::scoreboard::shop::output;
use crate::scoreboard::table::FLOOR;
use crate::scoreboard::tools::{Jitlink, Linker, StartFiles, Tools};
use crate::scoreboard::workloads::{Entry, Workload};

/// One column of the table.
#[derive(Debug)]
pub(crate) struct Rival {
    /// `so lld`; the handle on the command line and in the tables.
    pub(crate) name: String,
    /// What it says of itself.
    pub(crate) version: String,
    /// How it is driven, or why it cannot be.
    pub(crate) way: Result<Way>,
}

/// How a rival gets the program to run.
#[derive(Debug, Clone)]
pub(crate) enum Way {
    /// The linked program alone, linked before anything is measured: what no linker can go under.
    Alone { ld: PathBuf, start: StartFiles },
    /// What must be done whoever links; it tells its figures itself.
    Floor(PathBuf),
    /// `orc run` with options, in which `{scratch}` is a folder of the rival's own.
    Orc { tool: PathBuf, options: &'static [&'static str] },
    /// A bare reference linker in process.
    Mini(PathBuf),
    /// llvm-jitlink with its runtime, in its own process or with its executor.
    Jitlink { jitlink: Jitlink, away: bool },
    /// `LINKER -shared`, then dlopen and call.
    Shared { linker: PathBuf, dlrun: PathBuf, start: StartFiles },
    /// A linked executable, then exec.
    Executable { linker: PathBuf, start: StartFiles },
    /// `tcc -run` on the objects.
    Tcc(PathBuf),
}

/// Ours: a line a column.
pub(crate) const ORC: &[(&str, &[&str])] = &[
    ("orc", &[]),
    ("orc jobs 1", &["--jobs", "1"]),
    ("orc cached", &["--cache", "{scratch}/cache"]),
    ("orc lazy", &["--lazy"]),
    ("orc spawn", &["--executor", "spawn"]),
];

/// Who is asked to grow: us, the bound, and the fastest of those who write files. Others need minutes for what these do in a second.
const GROW: &[&str] = &["orc", "mini", "exe lld", "exe wild"];

/// One process to start. Only the last one of a rival is the program.
#[derive(Debug, Clone)]
pub(crate) struct Invocation {
    pub(crate) program: PathBuf,
    pub(crate) args: Vec<OsString>,
}

/// The rivals that were asked for, absent ones among them.
pub(crate) fn select(tools: &Tools, options: &Options) -> Result<Vec<Rival>> {
    let start = || tools.start.clone();
    let alone = tools.linkers[0].path.clone().map(|ld| Way::Alone { ld, start: start() });
    let mut rivals = vec![rival("run alone", alone)];
    for (name, options) in ORC {
        rivals.push(rival(name, tools.orc.clone().map(|tool| Way::Orc { tool, options })));
    }
    rivals.push(rival("mini", tools.mini.clone().map(Way::Mini)));
    for (name, away) in [("llvm-jitlink", false), ("llvm-jitlink oop", true)] {
        rivals.push(rival(name, tools.jitlink.clone().map(|jitlink| Way::Jitlink { jitlink, away })));
    }
    for Linker { name, path } in &tools.linkers {
        let way = path.clone().map(|linker| Way::Shared { linker, dlrun: tools.dlrun.clone(), start: start() });
        rivals.push(rival(&format!("so {name}"), way));
    }
    for Linker { name, path } in &tools.linkers {
        let way = path.clone().map(|linker| Way::Executable { linker, start: start() });
        rivals.push(rival(&format!("exe {name}"), way));
    }
    let floor = options.floor.clone().ok_or_else(|| "the program was not built".to_owned());
    rivals.push(rival(FLOOR, floor.map(Way::Floor)));
    rivals.push(rival("tcc", tools.tcc.clone().map(Way::Tcc)));
    rivals.retain(|rival| options.wants_rival(&rival.name));
    if rivals.is_empty() { Err("no rival has such a name".to_owned()) } else { Ok(rivals) }
}

fn rival(name: &str, way: Result<Way>) -> Rival {
    let asked = match &way {
        Ok(Way::Orc { tool, .. } | Way::Shared { linker: tool, .. } | Way::Executable { linker: tool, .. }) => {
            output(Command::new(tool).arg("--version"))
        }
        Ok(Way::Jitlink { jitlink, .. }) => output(Command::new(&jitlink.tool).arg("--version")),
        Ok(Way::Tcc(tcc)) => output(Command::new(tcc).arg("-v")),
        Ok(Way::Alone { .. } | Way::Mini(_) | Way::Floor(_)) | Err(_) => Ok(String::new()),
    };
    let version = asked.unwrap_or_default();
    let line = version.lines().map(str::trim).find(|line| line.contains(|c: char| c.is_ascii_digit()));
    Rival { name: name.to_owned(), version: line.unwrap_or_default().to_owned(), way }
}

impl Rival {
    /// How it is driven on a workload, or why it is not.
    pub(crate) fn way<'a>(&'a self, entry: &'a Entry) -> Result<(&'a Way, &'a Workload)> {
        let workload = entry.workload.as_ref().map_err(|why| format!("the workload is not built: {why}"))?;
        let way = self.way.as_ref().map_err(Clone::clone)?;
        if entry.table == Table::Growth && !GROW.contains(&self.name.as_str()) {
            return Err("is not asked to grow".to_owned());
        }
        if workload.dylibs.is_some() && !matches!(way, Way::Orc { .. }) {
            return Err("knows no dylibs".to_owned());
        }
        if workload.floor.is_none() && matches!(way, Way::Floor(_)) {
            return Err("was not made".to_owned());
        }
        Ok((way, workload))
    }
}

impl Way {
    /// What to run before anything is measured.
    pub(crate) fn preparation(&self, workload: &Workload, scratch: &Path) -> Option<Invocation> {
        match self {
            Self::Alone { ld, start } => Some(link_executable(ld, start, workload, &scratch.join("alone"))),
            _ => None,
        }
    }

    /// What is measured, in order.
    pub(crate) fn measured(&self, workload: &Workload, scratch: &Path) -> Vec<Invocation> {
        let mut last = match self {
            Self::Alone { .. } => vec![Invocation::new(&scratch.join("alone"))],
            Self::Orc { tool, options } => {
                let mut run = Invocation::new(tool).word("run");
                let scratch = scratch.display().to_string();
                run.args.extend(options.iter().map(|option| option.replace("{scratch}", &scratch).into()));
                match &workload.dylibs {
                    Some(response) => run = run.word(joined("@", response)),
                    None => run = run.files(workload),
                }
                for library in workload.libraries {
                    run = run.word(format!("-l{}", library.link));
                }
                vec![run.word("--")]
            }
            Self::Floor(floor) => {
                let mut run = Invocation::new(floor);
                run.args.extend(workload.floor.iter().map(Into::into));
                return vec![run];
            }
            Self::Mini(mini) => {
                let mut run = Invocation::new(mini);
                for library in workload.libraries {
                    run = run.word("--lib").word(library.soname);
                }
                vec![run.files(workload).word("--args").word(workload.name)]
            }
            // Its own shared libraries already bring what the workloads need of the host.
            Self::Jitlink { jitlink: Jitlink { tool, runtime, executor }, away } => {
                let mut run = Invocation::new(tool).word(joined("-orc-runtime=", runtime));
                if *away {
                    run = run.word(joined("-oop-executor=", executor));
                }
                match &workload.inputs_for_jitlink {
                    Some(inputs) => run.args.extend(inputs.iter().map(Into::into)),
                    None => run = run.files(workload),
                }
                vec![run.word("--args").word(workload.name)]
            }
            Self::Shared { linker, dlrun, start } => {
                let made = scratch.join("made.so");
                let link = Invocation::new(linker).words(["-shared", "--eh-frame-hdr", "-o"]).word(&made);
                // All but Scrt1.o, which would call a `main` of its own.
                let link = link.folders(start).between(&start.before[1..], workload, &start.after);
                vec![link, Invocation::new(dlrun).word(made)]
            }
            Self::Executable { linker, start } => {
                let made = scratch.join("made");
                vec![link_executable(linker, start, workload, &made), Invocation::new(&made)]
            }
            Self::Tcc(tcc) => {
                // What follows `-run` is the last input and then the program's arguments.
                let mut run = Invocation::new(tcc);
                for library in workload.libraries {
                    run = run.word(format!("-l{}", library.link));
                }
                run = run.files(workload);
                let last = run.args.len() - 1;
                run.args.insert(last, "-run".into());
                vec![run]
            }
        };
        if let Some(program) = last.last_mut() {
            program.args.extend(workload.args.iter().map(Into::into));
        }
        last
    }
}

impl Invocation {
    fn new(program: &Path) -> Self {
        Self { program: program.to_owned(), args: Vec::new() }
    }

    fn word(mut self, word: impl Into<OsString>) -> Self {
        self.args.push(word.into());
        self
    }

    fn words<const N: usize>(mut self, words: [&str; N]) -> Self {
        self.args.extend(words.map(Into::into));
        self
    }

    fn files(mut self, workload: &Workload) -> Self {
        self.args.extend(workload.objects.iter().chain(&workload.archives).map(Into::into));
        self
    }

    /// The workload and the libraries that it needs, between the compiler's start files.
    fn between(mut self, before: &[PathBuf], workload: &Workload, after: &[PathBuf]) -> Self {
        self.args.extend(before.iter().chain(&workload.objects).map(Into::into));
        // Archives may need each other; linkers that search them once must be told.
        if !workload.archives.is_empty() {
            self = self.word("--start-group");
            self.args.extend(workload.archives.iter().map(Into::into));
            self = self.word("--end-group");
        }
        for library in workload.libraries.iter().filter(|library| library.link != "gcc_s") {
            self = self.word(format!("-l{}", library.link));
        }
        self = self.words(["-lgcc_s", "-lc", "-lgcc"]);
        self.args.extend(after.iter().map(Into::into));
        self
    }

    fn folders(mut self, start: &StartFiles) -> Self {
        self.args.extend(start.folders.iter().map(|folder| joined("-L", folder)));
        self
    }

    /// As one would type it.
    pub(crate) fn line(&self) -> String {
        let words = std::iter::once(self.program.as_os_str()).chain(self.args.iter().map(OsString::as_os_str));
        words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
    }
}

fn link_executable(linker: &Path, start: &StartFiles, workload: &Workload, made: &Path) -> Invocation {
    Invocation::new(linker)
        .words(["-pie", "--eh-frame-hdr", "-dynamic-linker", "/lib64/ld-linux-x86-64.so.2", "-o"])
        .word(made)
        .folders(start)
        .between(&start.before, workload, &start.after)
}

fn joined(prefix: &str, path: &Path) -> OsString {
    let mut word = OsString::from(prefix);
    word.push(path);
    word
}
