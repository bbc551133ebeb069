//! What `orc run` is to do, as data: which dylibs there are, what goes into each in which order, who needs whom.
//!
//! clap collects each option by itself; here they are put back in the order in which they stood on the command line.

use super::args::{Executor, RunArgs, TlsArgs};
use clap::{ArgMatches, FromArgMatches as _};
use orc_jit::Watchers;
use orc_jit::diagnose::nearest;
use orc_jit::executor::remote::Place;
use std::collections::HashMap;
use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

/// Everything that one `orc run` is to do.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Never empty; the first is "main".
    pub(crate) dylibs: Vec<DylibPlan>,
    /// The first input as it was given: `argv[0]` of the program.
    pub(crate) program: OsString,
    pub(crate) arguments: Vec<OsString>,
    pub(crate) entry: String,
    /// Directories of `-L`, in order.
    pub(crate) library_path: Vec<PathBuf>,
    pub(crate) host_symbols: bool,
    pub(crate) preload: Vec<String>,
    pub(crate) time: bool,
    pub(crate) trace: Option<PathBuf>,
    /// Where `--map` writes.
    pub(crate) map: Option<PathBuf>,
    pub(crate) report_waits: Duration,
    pub(crate) jobs: Option<NonZeroUsize>,
    pub(crate) watch: Watchers,
    pub(crate) crash_reports: bool,
    pub(crate) lazy: bool,
    /// The directory of linked images, and how large it may be.
    pub(crate) cache: Option<(PathBuf, u64)>,
    pub(crate) executor: Where,
}

/// Where the program runs.
#[derive(Debug)]
pub(crate) enum Where {
    /// In this process.
    Here,
    /// In another one.
    Away {
        place: Place,
        /// Files for the encryption of TCP connections.
        tls: TlsArgs,
    },
}

/// One dylib.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct DylibPlan {
    pub(crate) name: String,
    pub(crate) items: Vec<Item>,
    /// Its link order: indices of [`Plan::dylibs`].
    pub(crate) needs: Vec<usize>,
    pub(crate) own_definitions: bool,
}

/// One thing that goes into a dylib.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Item {
    File { path: PathBuf, whole_archive: bool },
    Library { name: String, whole_archive: bool },
    Absolute { name: String, address: u64 },
    Alias { new: String, old: String },
}

/// A command line that has no meaning, or none yet.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct UsageError {
    pub(crate) message: String,
    pub(crate) help: Option<String>,
}

impl UsageError {
    fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), help: None }
    }

    fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

const MAIN: &str = "main";

impl Plan {
    /// The plan that the matches of `run` ask for.
    pub(crate) fn new(matches: &ArgMatches) -> Result<Self, UsageError> {
        // clap has checked these matches against this very definition.
        let args = RunArgs::from_arg_matches(matches).map_err(|error| UsageError::new(error.to_string()))?;
        let executor = executor(&args)?;
        // A library only warns of words that mean nothing; who gave them here waits for a profile.
        if let Some(profile) = std::env::var_os("ORC_PROFILE") {
            let checked = profile.to_string_lossy().parse::<Watchers>();
            checked.map_err(|why| UsageError::new(format!("the environment variable ORC_PROFILE: {why}")))?;
        }
        let watch = args.profile | if args.debug { Watchers::DEBUGGER } else { Watchers::empty() };
        let (dylibs, program) = collect(&events(matches, &args))?;
        Ok(Self {
            dylibs,
            program,
            arguments: args.arguments,
            entry: args.entry,
            library_path: args.library_path,
            host_symbols: !args.no_host_symbols,
            preload: args.preload,
            time: args.time,
            trace: args.trace,
            map: args.map,
            report_waits: args.report_waits,
            jobs: args.jobs,
            watch,
            crash_reports: args.crash_reports,
            lazy: args.lazy,
            cache: args.cache.map(|folder| (folder, args.cache_size)),
            executor,
        })
    }
}

#[cfg(test)]
impl Plan {
    /// A plan of nothing but dylibs.
    pub(crate) fn for_tests(dylibs: Vec<DylibPlan>) -> Self {
        Self {
            dylibs,
            program: "a.o".into(),
            arguments: Vec::new(),
            entry: MAIN.into(),
            library_path: Vec::new(),
            host_symbols: true,
            preload: Vec::new(),
            time: false,
            lazy: false,
            trace: None,
            map: None,
            report_waits: Duration::ZERO,
            jobs: None,
            watch: Watchers::empty(),
            crash_reports: false,
            cache: None,
            executor: Where::Here,
        }
    }
}

/// Where the command line says that the program runs.
fn executor(args: &RunArgs) -> Result<Where, UsageError> {
    let Executor::Away(place) = &args.executor else {
        return if args.tls.is_empty() {
            Ok(Where::Here)
        } else {
            Err(UsageError::new("certificates and tokens are for --executor tcp:HOST:PORT"))
        };
    };
    if !args.tls.is_empty() && !matches!(place, Place::Tcp { .. }) {
        return Err(UsageError::new(format!("certificates and tokens are for tcp:HOST:PORT, not for {place}")));
    }
    Ok(Where::Away { place: place.clone(), tls: args.tls.clone() })
}

/// One positional option or input.
enum Event<'a> {
    Dylib(&'a str),
    Needs(&'a str),
    OwnDefinitions,
    WholeArchive(bool),
    Item(Item),
}

/// All positional options and inputs in the order of the command line.
fn events<'a>(matches: &ArgMatches, args: &'a RunArgs) -> Vec<Event<'a>> {
    let mut events: Vec<(usize, Event<'a>)> = Vec::new();
    let mut add = |id: &str, made: &mut dyn Iterator<Item = Event<'a>>| {
        // Values that are defaults have no place on the command line.
        events.extend(matches.indices_of(id).into_iter().flatten().zip(made));
    };
    add("dylib", &mut args.dylib.iter().map(|name| Event::Dylib(name)));
    add("needs", &mut args.needs.iter().map(|names| Event::Needs(names)));
    add("own_definitions", &mut args.own_definitions.iter().map(|_| Event::OwnDefinitions));
    add("whole_archive", &mut args.whole_archive.iter().map(|_| Event::WholeArchive(true)));
    add("no_whole_archive", &mut args.no_whole_archive.iter().map(|_| Event::WholeArchive(false)));
    let file = |path: &PathBuf| Event::Item(Item::File { path: path.clone(), whole_archive: false });
    add("inputs", &mut args.inputs.iter().map(file));
    let library = |name: &String| Event::Item(Item::Library { name: name.clone(), whole_archive: false });
    add("libraries", &mut args.libraries.iter().map(library));
    let absolute =
        |(name, address): &(String, u64)| Event::Item(Item::Absolute { name: name.clone(), address: *address });
    add("abs", &mut args.abs.iter().map(absolute));
    let alias = |(new, old): &(String, String)| Event::Item(Item::Alias { new: new.clone(), old: old.clone() });
    add("alias", &mut args.alias.iter().map(alias));
    events.sort_by_key(|(index, _)| *index);
    events.into_iter().map(|(_, event)| event).collect()
}

/// Walks the events once: the dylibs, and `argv[0]`.
fn collect(events: &[Event<'_>]) -> Result<(Vec<DylibPlan>, OsString), UsageError> {
    let mut dylibs = vec![DylibPlan { name: MAIN.into(), ..DylibPlan::default() }];
    let mut positions = HashMap::from([(MAIN, 0)]);
    let mut needs: Vec<Option<&str>> = vec![None];
    let mut program = None;
    let mut whole = false;
    for event in events {
        let current = dylibs.len() - 1;
        match event {
            Event::Dylib(name) => {
                if name.is_empty() {
                    return Err(UsageError::new("--dylib needs a name"));
                }
                if positions.insert(*name, dylibs.len()).is_some() {
                    let error = UsageError::new(format!("there is a dylib {name} already"));
                    return Err(match *name {
                        MAIN => error.help("the inputs before the first --dylib go into main"),
                        _ => error.help("put its inputs together, or choose another name"),
                    });
                }
                dylibs.push(DylibPlan { name: (*name).into(), ..DylibPlan::default() });
                needs.push(None);
            }
            Event::Needs(names) => {
                if needs[current].replace(names).is_some() {
                    let error = UsageError::new(format!("--needs is given twice for dylib {}", dylibs[current].name));
                    return Err(error.help("give all names at once: --needs A,B"));
                }
            }
            Event::OwnDefinitions => dylibs[current].own_definitions = true,
            Event::WholeArchive(on) => whole = *on,
            Event::Item(item) => {
                let mut item = item.clone();
                match &mut item {
                    Item::File { path, whole_archive } => {
                        program.get_or_insert_with(|| path.clone().into_os_string());
                        *whole_archive = whole;
                    }
                    Item::Library { whole_archive, .. } => *whole_archive = whole,
                    Item::Absolute { .. } | Item::Alias { .. } => {}
                }
                dylibs[current].items.push(item);
            }
        }
    }
    for index in 0..dylibs.len() {
        dylibs[index].needs = match needs[index] {
            Some(names) => find_all(names, &positions)?,
            None if index == 0 => (1..dylibs.len()).collect(),
            None => Vec::new(),
        };
    }
    let library = |item: &Item| match item {
        Item::Library { name, .. } => Some(OsString::from(format!("-l{name}"))),
        _ => None,
    };
    let program = program.or_else(|| dylibs.iter().flat_map(|dylib| &dylib.items).find_map(library));
    program.map(|program| (dylibs, program)).ok_or_else(|| {
        UsageError::new("there is nothing to run: no input is given")
            .help("orc run INPUT... [-- ARGS...]; see orc run --help")
    })
}

/// The dylibs that `--needs NAMES` names.
fn find_all(names: &str, positions: &HashMap<&str, usize>) -> Result<Vec<usize>, UsageError> {
    let find = |name: &str| {
        positions.get(name).copied().ok_or_else(|| {
            let error = UsageError::new(format!("--needs names {name}, but there is no dylib of that name"));
            match nearest(name, in_order(positions)) {
                Some(near) => error.help(format!("did you mean {near}?")),
                None => error.help(format!("make it with --dylib {name}")),
            }
        })
    };
    names.split(',').map(str::trim).filter(|name| !name.is_empty()).map(find).collect()
}

/// The names of all dylibs, in order.
fn in_order<'n>(positions: &HashMap<&'n str, usize>) -> impl Iterator<Item = &'n str> {
    let mut names: Vec<_> = positions.iter().map(|(name, position)| (*position, *name)).collect();
    names.sort_unstable();
    names.into_iter().map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::super::args::Cli;
    use super::*;
    use clap::CommandFactory as _;
    use std::path::Path;

    fn plan(line: &str) -> Result<Plan, UsageError> {
        let words = orc_jit::input::response::split(Path::new("test"), line.as_bytes()).unwrap();
        let all = ["orc".into(), "run".into()].into_iter().chain(words);
        let matches = Cli::command().try_get_matches_from(all).unwrap_or_else(|error| panic!("{error}"));
        Plan::new(matches.subcommand_matches("run").unwrap())
    }

    /// `name[needs]: items` for each dylib; a whole archive has a `+`, a dylib with definitions of its own a `=`.
    #[track_caller]
    fn check(line: &str, expected: &[&str]) {
        let plan = plan(line).unwrap();
        let item = |item: &Item| match item {
            Item::File { path, whole_archive } => {
                format!("{}{}", path.display(), if *whole_archive { "+" } else { "" })
            }
            Item::Library { name, whole_archive } => format!("-l{name}{}", if *whole_archive { "+" } else { "" }),
            Item::Absolute { name, address } => format!("{name}={address:#x}"),
            Item::Alias { new, old } => format!("{new}={old}"),
        };
        let dylib = |dylib: &DylibPlan| {
            let needs: Vec<&str> = dylib.needs.iter().map(|&index| plan.dylibs[index].name.as_str()).collect();
            let items: Vec<String> = dylib.items.iter().map(item).collect();
            let own = if dylib.own_definitions { "=" } else { "" };
            format!("{}{own}[{}]: {}", dylib.name, needs.join(","), items.join(" "))
        };
        let shown: Vec<String> = plan.dylibs.iter().map(dylib).collect();
        assert_eq!(shown, expected, "{line}");
    }

    #[track_caller]
    fn check_error(line: &str, message: &str, help: &str) {
        let error = plan(line).unwrap_err();
        assert_eq!((error.message.as_str(), error.help.as_deref().unwrap_or("")), (message, help), "{line}");
    }

    #[test]
    fn inputs_keep_their_order_among_options() {
        check("a.o -lm b.a", &["main[]: a.o -lm b.a"]);
        check("-lfoo -L dir -Ldir2 x.o -l :exact.a --library c", &["main[]: -lfoo x.o -l:exact.a -lc"]);
        assert_eq!(plan("-L dir x.o -Ldir2").unwrap().library_path, [Path::new("dir"), Path::new("dir2")]);
        check(
            "a.a --whole-archive b.a -lx --no-whole-archive c.a --whole-archive d.a",
            &["main[]: a.a b.a+ -lx+ c.a d.a+"],
        );
        check("--abs p=0x10 a.o --abs q=16 --alias r=s b.o", &["main[]: p=0x10 a.o q=0x10 r=s b.o"]);
    }

    #[test]
    fn dylibs_collect_what_follows() {
        check("main.o --dylib B b.o -lm --dylib C c.o", &["main[B,C]: main.o", "B[]: b.o -lm", "C[]: c.o"]);
        check(
            "--needs B,C main.o --dylib B b.o --dylib C c.o --needs B",
            &["main[B,C]: main.o", "B[]: b.o", "C[B]: c.o"],
        );
        check("--needs '' main.o --dylib B b.o", &["main[]: main.o", "B[]: b.o"]);
        check("--needs= main.o --dylib B --needs main,B b.o", &["main[]: main.o", "B[main,B]: b.o"]);
        check("--dylib B b.o", &["main[B]: ", "B[]: b.o"]);
        check("main.o --dylib B --own-definitions b.o --dylib C c.o", &["main[B,C]: main.o", "B=[]: b.o", "C[]: c.o"]);
        check("--own-definitions main.o --dylib B b.o", &["main=[B]: main.o", "B[]: b.o"]);
    }

    #[test]
    fn the_program_is_named_by_its_first_input() {
        let found = plan("-lm dir/x.o y.o -- a -b --dylib @c").unwrap();
        assert_eq!(found.program, "dir/x.o");
        assert_eq!(found.arguments, ["a", "-b", "--dylib", "@c"]);
        assert_eq!(plan("-lm").unwrap().program, "-lm");
        assert_eq!(plan("--dylib B b.o").unwrap().program, "b.o");
    }

    #[test]
    fn mistakes_are_explained() {
        check_error(
            "",
            "there is nothing to run: no input is given",
            "orc run INPUT... [-- ARGS...]; see orc run --help",
        );
        check_error(
            "a.o --dylib main b.o",
            "there is a dylib main already",
            "the inputs before the first --dylib go into main",
        );
        check_error(
            "a.o --dylib B --dylib B",
            "there is a dylib B already",
            "put its inputs together, or choose another name",
        );
        check_error(
            "a.o --needs A --needs B",
            "--needs is given twice for dylib main",
            "give all names at once: --needs A,B",
        );
        check_error(
            "--needs plugn a.o --dylib plugin p.o",
            "--needs names plugn, but there is no dylib of that name",
            "did you mean plugin?",
        );
        check_error("--needs X a.o", "--needs names X, but there is no dylib of that name", "make it with --dylib X");
    }

    #[test]
    fn options_of_the_whole_run_stand_anywhere() {
        let plan = plan("a.o --jobs 8 --executor in-process --lazy --time").unwrap();
        assert!(plan.lazy && plan.time);
    }
}
