//! The command line of llvm-jitlink: options with one or two dashes, among inputs, in an order that means something.
//!
//! **You give** the words after the command. **You get** a [`Plan`]: dylibs with what goes into each, and what is to be done with them. **Not here:** files;
//! nothing is opened.

use super::slab;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::PathBuf;

/// Everything that one run is to do.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// Never empty; the first is "main".
    pub(super) dylibs: Vec<Dylib>,
    /// Test harnesses; they belong to the first dylib.
    pub(super) harnesses: Vec<PathBuf>,
    pub(super) run: bool,
    pub(super) entry: Option<String>,
    pub(super) checks: Vec<PathBuf>,
    /// What stands in front of rules.
    pub(super) check_name: String,
    pub(super) slab: slab::Slab,
    pub(super) phony_externals: bool,
    pub(super) process_symbols: bool,
    pub(super) preload: Vec<String>,
    /// Graphs of files that match this regular expression are shown.
    pub(super) show_graphs: Option<String>,
    pub(super) show_addresses: bool,
    pub(super) show_entry: bool,
    /// Libraries are searched in the directories of the system, after those of `-L`.
    pub(super) search_system: bool,
    pub(super) add_self_relocations: bool,
    pub(super) debugger: bool,
    pub(super) perf: bool,
    pub(super) executor: Executor,
    pub(super) arguments: Vec<OsString>,
}

/// Where the program runs.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) enum Executor {
    #[default]
    Here,
    /// In a process that is started: this one, or one of ours.
    Started(Option<PathBuf>),
    /// At a TCP address.
    At(String),
}

/// One dylib, and what the words after its name gave it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Dylib {
    pub(super) name: String,
    pub(super) items: Vec<Item>,
    /// Where its libraries are searched.
    pub(super) search: Vec<PathBuf>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Item {
    /// An object or an archive, by its name.
    File(PathBuf),
    /// `-l`, or with `hidden`, `-hidden-l`: a library, or a dylib of this name.
    Library {
        name: String,
        hidden: bool,
    },
    /// `-load_hidden`: an archive.
    Hidden(PathBuf),
    Absolute {
        name: String,
        value: u64,
    },
    Alias(Alias),
    Section(Section),
}

/// `[JD:]NAME=[JD:]OF`
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Alias {
    pub(super) dylib: Option<String>,
    pub(super) name: String,
    pub(super) of_dylib: Option<String>,
    pub(super) of: String,
}

/// `SECTION,FILE[@SYMBOL=OFFSET,...]`
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Section {
    pub(super) name: String,
    pub(super) file: PathBuf,
    pub(super) symbols: Vec<(String, u64)>,
}

/// What an option takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Takes {
    /// Nothing, or `=true` or `=false`.
    Nothing,
    /// One value, as the next word or after `=`; the last one counts.
    Value,
    /// The same, any number of times.
    Values,
    /// A value that stands right behind, or is the next word; any number of times.
    Prefix,
    /// A value after `=`, or none.
    Optional,
    /// All words that follow.
    Rest,
}

/// An option, and what the help says of it.
struct Known(&'static str, Takes, &'static str);

const OPTIONS: &[Known] = &[
    Known(
        "noexec",
        Takes::Nothing,
        "Link everything that the entry reaches, and run nothing; for objects of any machine",
    ),
    Known("entry", Takes::Value, "SYMBOL: the entry point; main, or _main for Mach-O"),
    Known("jd", Takes::Values, "NAME: what follows goes into a new dylib NAME; before, it goes into main"),
    Known("L", Takes::Prefix, "DIR: where the current dylib's libraries are searched"),
    Known(
        "l",
        Takes::Prefix,
        "NAME: link the current dylib against the dylib NAME, or else against libNAME.so or libNAME.a",
    ),
    Known("hidden-l", Takes::Prefix, "NAME: as -l, for an archive whose definitions only the current dylib sees"),
    Known("load_hidden", Takes::Values, "PATH: the same, by path"),
    Known("abs", Takes::Values, "NAME=VALUE: an absolute symbol, decimal or 0x hexadecimal"),
    Known("alias", Takes::Values, "[JD:]NEW=[JD:]OLD: another name"),
    Known("sectcreate", Takes::Values, "SECTION,FILE[@SYMBOL=OFFSET,...]: a section with the bytes of a file"),
    Known(
        "harness",
        Takes::Rest,
        "FILES: objects that test the others: they see their local symbols, and their definitions go first",
    ),
    Known("check", Takes::Values, "FILE: try the rules of a file after linking"),
    Known("check-name", Takes::Value, "NAME: what rules stand behind, `# NAME:`; jitlink-check"),
    Known("slab-allocate", Takes::Value, "SIZE: take all memory from a slab of this size; Kb, Mb, Gb, or Kb"),
    Known("slab-address", Takes::Value, "ADDRESS: where the slab pretends to be (with -slab-allocate and -noexec)"),
    Known("slab-page-size", Takes::Value, "SIZE: the size of its pages (with -slab-allocate and -noexec)"),
    Known("phony-externals", Takes::Nothing, "Names that nobody defines are null"),
    Known("no-process-syms", Takes::Nothing, "Do not look for symbols in this process"),
    Known("preload", Takes::Values, "LIBRARY: load a shared library first"),
    Known("add-self-relocations", Takes::Nothing, "Functions that refer to themselves do it by an edge"),
    Known("show-graphs", Takes::Value, "REGEX: print the linked graphs of matching files"),
    Known("show-addrs", Takes::Nothing, "Print the addresses of symbols, sections, slots and stubs"),
    Known("show-entry-es", Takes::Nothing, "Print what is linked before the entry is called"),
    Known("show-init-es", Takes::Nothing, "The same"),
    Known("oop-executor", Takes::Optional, "[=PATH]: run in another process, which is started"),
    Known("oop-executor-connect", Takes::Value, "HOST:PORT: run in a process that listens there"),
    Known("debugger-support", Takes::Nothing, "Show linked code to debuggers"),
    Known("perf-support", Takes::Nothing, "Write a jitdump for perf"),
    Known("args", Takes::Rest, "WORDS: arguments of the program"),
    Known("orc-runtime", Takes::Value, "PATH: not needed: the runtime is built in"),
    Known("use-shared-memory", Takes::Nothing, "Not needed: memory is shared where it can be"),
    Known("show-err-failed-to-materialize", Takes::Nothing, "Not needed: errors say what failed"),
    Known("show-relocated-section-contents", Takes::Nothing, "Not needed: -check sees them"),
    Known("search-sys-lib", Takes::Nothing, "Search libraries in the system's directories, too"),
    Known("show-times", Takes::Nothing, "Not needed: orc run --time tells times"),
    Known("vtune-support", Takes::Nothing, "Not served: there is no VTune here"),
];

/// Why words are no command line.
pub(super) type Wrong = String;

/// What the command line asks for.
#[derive(Debug)]
pub(super) enum Asked {
    Run(Box<Plan>),
    Help,
}

/// The text of `-help`.
pub(super) fn help() -> String {
    let mut text = String::from(
        "orc jitlink: link objects as llvm-jitlink does, run them, and check what came out\n\n\
         Usage: orc jitlink [OPTIONS] INPUTS...     options have one dash or two; `-o VALUE` and `-o=VALUE` are the same\n\n\
         Inputs are objects (ELF, Mach-O, COFF) and archives (.a, .lib), whose members are linked at need.\n\
         Exit status: what main returns, or 0 with -noexec; 1 when linking or a check fails.\n\nOptions:\n",
    );
    for Known(name, _, what) in OPTIONS {
        text.push_str(&format!("  -{name:<22} {what}\n"));
    }
    text
}

/// Reads the words.
pub(super) fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Asked, Wrong> {
    let mut words = words.into_iter();
    let mut reader = Reader::new();
    while let Some(word) = words.next() {
        let bytes = word.as_bytes();
        let body = bytes.strip_prefix(b"--").or_else(|| bytes.strip_prefix(b"-"));
        let Some(body) = body.filter(|body| !body.is_empty()) else {
            if bytes == b"--" {
                words.by_ref().for_each(|word| reader.input(word));
            } else {
                reader.input(word);
            }
            continue;
        };
        if matches!(body, b"help" | b"h" | b"help-hidden") {
            return Ok(Asked::Help);
        }
        let (Known(name, takes, _), value) = find(body).ok_or_else(|| {
            format!("Unknown command line argument '{}'.  Try: 'orc jitlink --help'", word.to_string_lossy())
        })?;
        let value = match (takes, value) {
            (Takes::Rest, _) => {
                reader.rest(name, &mut words);
                continue;
            }
            (Takes::Nothing | Takes::Optional, value) => value,
            (_, Some(value)) => Some(value),
            (_, None) => Some(words.next().ok_or_else(|| format!("-{name} requires a value!"))?),
        };
        reader.option(name, value)?;
    }
    reader.finish().map(|plan| Asked::Run(Box::new(plan)))
}

/// The option that a word without its dashes is, and the value that it brings.
fn find(body: &[u8]) -> Option<(&'static Known, Option<OsString>)> {
    let owned = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
    let (name, value) = match body.iter().position(|byte| *byte == b'=') {
        Some(at) => (&body[..at], Some(owned(&body[at + 1..]))),
        None => (body, None),
    };
    if let Some(known) = OPTIONS.iter().find(|Known(known, ..)| known.as_bytes() == name) {
        return Some((known, value));
    }
    // The longest prefix: `-hidden-lfoo` is no `-h`.
    let prefixes =
        OPTIONS.iter().filter(|Known(known, takes, _)| *takes == Takes::Prefix && body.starts_with(known.as_bytes()));
    let known = prefixes.max_by_key(|Known(known, ..)| known.len())?;
    Some((known, Some(owned(&body[known.0.len()..]))))
}

struct Reader {
    plan: Plan,
    slab_size: Option<u64>,
    slab_address: Option<u64>,
    slab_page_size: Option<u64>,
}

impl Reader {
    fn new() -> Self {
        let main = Dylib { name: "main".into(), ..Dylib::default() };
        let plan = Plan {
            dylibs: vec![main],
            run: true,
            check_name: "jitlink-check".into(),
            process_symbols: true,
            debugger: true,
            ..Plan::default()
        };
        Self { plan, slab_size: None, slab_address: None, slab_page_size: None }
    }

    fn dylib(&mut self) -> &mut Dylib {
        self.plan.dylibs.last_mut().expect("there is main")
    }

    fn item(&mut self, item: Item) {
        self.dylib().items.push(item);
    }

    fn input(&mut self, word: OsString) {
        self.item(Item::File(word.into()));
    }

    /// The words behind an option that takes all of them; another such option begins anew.
    fn rest(&mut self, name: &'static str, words: &mut impl Iterator<Item = OsString>) {
        let mut of = name;
        for word in words {
            let option = word.as_bytes().strip_prefix(b"--").or_else(|| word.as_bytes().strip_prefix(b"-"));
            match (of, option) {
                ("harness", Some(b"args")) => of = "args",
                ("harness", Some(b"harness")) => {}
                ("harness", _) => self.plan.harnesses.push(word.into()),
                _ => self.plan.arguments.push(word),
            }
        }
    }

    fn option(&mut self, name: &'static str, value: Option<OsString>) -> Result<(), Wrong> {
        let text = || -> Result<String, Wrong> {
            let value = value.clone().unwrap_or_default();
            value.into_string().map_err(|value| format!("-{name}: '{}' is not text", value.to_string_lossy()))
        };
        let path = || PathBuf::from(value.clone().unwrap_or_default());
        let flag = || match value.as_deref().map(OsStr::as_bytes) {
            None | Some(b"" | b"true" | b"TRUE" | b"True" | b"1") => Ok(true),
            Some(b"false" | b"FALSE" | b"False" | b"0") => Ok(false),
            Some(other) => Err(format!(
                "-{name}: '{}' is invalid value for boolean argument! Try 0 or 1",
                String::from_utf8_lossy(other)
            )),
        };
        let number = || {
            slab::number(&text()?).ok_or_else(|| format!("-{name}: '{}' is not a number", text().unwrap_or_default()))
        };
        match name {
            "noexec" => self.plan.run = !flag()?,
            "entry" => self.plan.entry = Some(text()?),
            "jd" => {
                let name = text()?;
                // What is given later to a dylib that is there goes behind what it has.
                match self.plan.dylibs.iter().position(|dylib| dylib.name == name) {
                    Some(at) => {
                        let known = self.plan.dylibs.remove(at);
                        self.plan.dylibs.push(known);
                    }
                    None => self.plan.dylibs.push(Dylib { name, ..Dylib::default() }),
                }
            }
            "L" => {
                let path = path();
                self.dylib().search.push(path);
            }
            "l" => self.item(Item::Library { name: text()?, hidden: false }),
            "hidden-l" => self.item(Item::Library { name: text()?, hidden: true }),
            "load_hidden" => self.item(Item::Hidden(path())),
            "abs" => self.item(absolute(&text()?)?),
            "alias" => self.item(Item::Alias(alias(&text()?)?)),
            "sectcreate" => self.item(Item::Section(section(&text()?)?)),
            "check" => self.plan.checks.push(path()),
            "check-name" => self.plan.check_name = text()?,
            "slab-allocate" => self.slab_size = Some(slab::size(&text()?)?),
            "slab-address" => self.slab_address = Some(number()?),
            "slab-page-size" => self.slab_page_size = Some(number()?),
            "phony-externals" => self.plan.phony_externals = flag()?,
            "no-process-syms" => self.plan.process_symbols = !flag()?,
            "preload" => self.plan.preload.push(text()?),
            "add-self-relocations" => self.plan.add_self_relocations = flag()?,
            "show-graphs" => self.plan.show_graphs = Some(text()?),
            "show-addrs" => self.plan.show_addresses = flag()?,
            "show-entry-es" | "show-init-es" => self.plan.show_entry |= flag()?,
            "search-sys-lib" => self.plan.search_system = flag()?,
            "oop-executor" => {
                let path = path();
                self.plan.executor = Executor::Started((!path.as_os_str().is_empty()).then_some(path));
            }
            "oop-executor-connect" => self.plan.executor = Executor::At(text()?),
            "debugger-support" => self.plan.debugger = flag()?,
            "perf-support" => self.plan.perf = flag()?,
            _ => {}
        }
        Ok(())
    }

    fn finish(self) -> Result<Plan, Wrong> {
        let Self { mut plan, slab_size, slab_address, slab_page_size, .. } = self;
        // Whatever was given last: main is the program.
        let main = plan.dylibs.iter().position(|dylib| dylib.name == "main").unwrap_or(0);
        plan.dylibs[..=main].rotate_right(1);
        let away = plan.executor != Executor::Here;
        if slab_size.is_some() && away {
            return Err("-slab-allocate cannot be used with -oop-executor or -oop-executor-connect".into());
        }
        for (name, given) in [("slab-address", slab_address), ("slab-page-size", slab_page_size)] {
            if given.is_some() && (slab_size.is_none() || plan.run) {
                return Err(format!("-{name} requires -slab-allocate and -noexec"));
            }
        }
        if let Some(size) = slab_page_size.filter(|size| !size.is_power_of_two()) {
            return Err(format!("-slab-page-size: {size} is not a power of two"));
        }
        plan.slab = slab::Slab { size: slab_size, address: slab_address, page_size: slab_page_size };
        Ok(plan)
    }
}

fn absolute(text: &str) -> Result<Item, Wrong> {
    let wrong = || format!("Invalid absolute symbol definition '{text}' (expected <name>=<address>)");
    let (name, value) = text.split_once('=').filter(|(name, _)| !name.is_empty()).ok_or_else(wrong)?;
    Ok(Item::Absolute { name: name.into(), value: slab::number(value.trim()).ok_or_else(wrong)? })
}

fn alias(text: &str) -> Result<Alias, Wrong> {
    let wrong = || format!("Invalid alias definition '{text}' (expected [<jd>:]<name>=[<jd>:]<name>)");
    let side = |text: &str| match text.split_once(':') {
        Some((dylib, name)) => (Some(dylib.to_owned()), name.to_owned()),
        None => (None, text.to_owned()),
    };
    let (new, old) = text.split_once('=').ok_or_else(wrong)?;
    let ((dylib, name), (of_dylib, of)) = (side(new), side(old));
    if name.is_empty() || of.is_empty() {
        return Err(wrong());
    }
    Ok(Alias { dylib, name, of_dylib, of })
}

fn section(text: &str) -> Result<Section, Wrong> {
    let wrong = |what: &str| format!("In -sectcreate argument '{text}', {what}");
    let (named, symbols) = text.split_once('@').map_or((text, ""), |(named, symbols)| (named, symbols));
    // Names of Mach-O sections have a comma in them: the file is what follows the last.
    let (name, file) = named.rsplit_once(',').ok_or_else(|| wrong("file name component cannot be empty"))?;
    if name.is_empty() || file.is_empty() {
        return Err(wrong("neither the section's nor the file's name can be empty"));
    }
    let symbol = |text: &str| {
        let (name, offset) = text.split_once('=').filter(|(name, _)| !name.is_empty())?;
        Some((name.to_owned(), slab::number(offset)?))
    };
    let symbols = symbols.split(',').filter(|text| !text.is_empty());
    let symbols = symbols.map(|text| symbol(text).ok_or_else(|| wrong("symbols are <name>=<offset>")));
    Ok(Section { name: name.into(), file: file.into(), symbols: symbols.collect::<Result<_, _>>()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(line: &str) -> Result<Plan, Wrong> {
        match parse(line.split_whitespace().map(OsString::from))? {
            Asked::Run(plan) => Ok(*plan),
            Asked::Help => panic!("{line} asks for help"),
        }
    }

    fn file(name: &str) -> Item {
        Item::File(name.into())
    }

    #[test]
    fn one_dash_or_two_and_a_value_behind_or_after() {
        for line in
            ["-noexec -entry f a.o", "--noexec --entry=f a.o", "a.o -entry=f --noexec=true", "-noexec=1 a.o -entry f"]
        {
            let plan = run(line).unwrap();
            assert_eq!((plan.run, plan.entry.as_deref()), (false, Some("f")), "{line}");
            assert_eq!(plan.dylibs[0].items, [file("a.o")], "{line}");
        }
        assert!(run("-noexec=false a.o").unwrap().run);
        assert_eq!(run("-entry a -entry=b a.o").unwrap().entry.as_deref(), Some("b"));
    }

    #[test]
    fn prefix_options() {
        let plan = run("-Ldir -L other -L=third -lfoo -l bar -hidden-lx -hidden-l y -load_hidden z.a").unwrap();
        assert_eq!(plan.dylibs[0].search, ["dir", "other", "third"].map(PathBuf::from));
        let library = |name: &str, hidden| Item::Library { name: name.into(), hidden };
        let expected = [
            library("foo", false),
            library("bar", false),
            library("x", true),
            library("y", true),
            Item::Hidden("z.a".into()),
        ];
        assert_eq!(plan.dylibs[0].items, expected);
    }

    #[test]
    fn the_current_dylib_gets_what_follows() {
        let plan = run("a.o -abs x=0x10 -jd B -L d b.o -lmain -alias y=x -jd C -jd main c.o").unwrap();
        let names: Vec<&str> = plan.dylibs.iter().map(|dylib| dylib.name.as_str()).collect();
        assert_eq!(names, ["main", "B", "C"]);
        assert_eq!(plan.dylibs[0].items, [file("a.o"), Item::Absolute { name: "x".into(), value: 16 }, file("c.o")]);
        let alias = Alias { dylib: None, name: "y".into(), of_dylib: None, of: "x".into() };
        let library = Item::Library { name: "main".into(), hidden: false };
        assert_eq!(plan.dylibs[1].items, [file("b.o"), library, Item::Alias(alias)]);
        assert_eq!(plan.dylibs[1].search, [PathBuf::from("d")]);
        assert!(plan.dylibs[2].items.is_empty());
    }

    #[test]
    fn words_behind_harness_and_args() {
        let plan = run("a.o -noexec -harness h.o -x --args -noexec b.o -- -harness").unwrap();
        assert_eq!(plan.harnesses, ["h.o", "-x"].map(PathBuf::from));
        assert_eq!(plan.arguments, ["-noexec", "b.o", "--", "-harness"]);
        assert_eq!(plan.dylibs[0].items, [file("a.o")]);
        assert_eq!(run("a.o -- -noexec").unwrap().dylibs[0].items, [file("a.o"), file("-noexec")]);
    }

    #[test]
    fn values_with_a_grammar_of_their_own() {
        let plan = run("-abs big=0xffffffffffffffff -alias B:n=C:o -sectcreate __DATA,__x,f.txt@a=0,b=0x10").unwrap();
        let section = Section {
            name: "__DATA,__x".into(),
            file: "f.txt".into(),
            symbols: vec![("a".into(), 0), ("b".into(), 16)],
        };
        let alias = Alias { dylib: Some("B".into()), name: "n".into(), of_dylib: Some("C".into()), of: "o".into() };
        let expected =
            [Item::Absolute { name: "big".into(), value: u64::MAX }, Item::Alias(alias), Item::Section(section)];
        assert_eq!(plan.dylibs[0].items, expected);
        let plan = run("-noexec -slab-allocate 100Kb -slab-address 0xfff00000 -slab-page-size 4096").unwrap();
        assert_eq!(plan.slab, slab::Slab { size: Some(102_400), address: Some(0xfff0_0000), page_size: Some(4096) });
        assert_eq!(run("-oop-executor a.o").unwrap().executor, Executor::Started(None));
        assert_eq!(run("-oop-executor=x a.o").unwrap().executor, Executor::Started(Some("x".into())));
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (line, told) in [
            ("-frob a.o", "Unknown command line argument '-frob'.  Try: 'orc jitlink --help'"),
            ("--show-graph x", "Unknown command line argument '--show-graph'.  Try: 'orc jitlink --help'"),
            ("a.o -entry", "-entry requires a value!"),
            ("-noexec=maybe", "-noexec: 'maybe' is invalid value for boolean argument! Try 0 or 1"),
            ("-abs x", "Invalid absolute symbol definition 'x' (expected <name>=<address>)"),
            ("-abs x=y", "Invalid absolute symbol definition 'x=y' (expected <name>=<address>)"),
            (
                "-abs x=0x10000000000000000",
                "Invalid absolute symbol definition 'x=0x10000000000000000' (expected <name>=<address>)",
            ),
            ("-alias x", "Invalid alias definition 'x' (expected [<jd>:]<name>=[<jd>:]<name>)"),
            ("-sectcreate x", "In -sectcreate argument 'x', file name component cannot be empty"),
            ("-sectcreate x,f@a", "In -sectcreate argument 'x,f@a', symbols are <name>=<offset>"),
            ("-slab-address 0 a.o", "-slab-address requires -slab-allocate and -noexec"),
            ("-slab-address 0 -slab-allocate 1 a.o", "-slab-address requires -slab-allocate and -noexec"),
            ("-slab-page-size 3 -slab-allocate 1 -noexec", "-slab-page-size: 3 is not a power of two"),
            ("-slab-address x -slab-allocate 1 -noexec", "-slab-address: 'x' is not a number"),
            (
                "-oop-executor -slab-allocate 1",
                "-slab-allocate cannot be used with -oop-executor or -oop-executor-connect",
            ),
        ] {
            assert_eq!(run(line).unwrap_err(), told, "{line}");
        }
    }

    #[test]
    fn help_names_every_option() {
        let help = help();
        assert!(OPTIONS.iter().all(|Known(name, ..)| help.contains(&format!("\n  -{name} "))), "{help}");
        assert!(matches!(parse(["--help".into()]), Ok(Asked::Help)));
    }
}
