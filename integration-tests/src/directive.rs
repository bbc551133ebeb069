//! Directives: `//#Key: value` lines of a case's main source become a [`Directives`] value.
//!
//! Not for: deciding what a directive does; that is [`crate::build`] and [`crate::oracle`].

use crate::Failure;
use crate::executor::Kind;
use crate::machine::Machine;

/// A compiler family; it names the drivers of C, C++ and assembler sources.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Compiler {
    /// `gcc`, `g++`
    Gcc,
    /// `clang-19`, `clang++-19`
    Clang,
    /// `rustc --emit=obj`
    Rustc,
}

impl Compiler {
    /// As a directive and a trial name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gcc => "gcc",
            Self::Clang => "clang",
            Self::Rustc => "rustc",
        }
    }
}

/// How addresses are formed in the objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Pic {
    /// `-fPIC`: fit for a shared library, symbols may be interposed.
    Pic,
    /// `-fPIE`: fit for any address, symbols of the program bind to themselves.
    Pie,
    /// `-fno-pic`: absolute 32-bit addresses.
    NoPic,
}

impl Pic {
    /// The flag of the compilers.
    pub fn compile_flag(self) -> &'static str {
        match self {
            Self::Pic => "-fPIC",
            Self::Pie => "-fPIE",
            Self::NoPic => "-fno-pic",
        }
    }

    /// As directives name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pic => "pic",
            Self::Pie => "pie",
            Self::NoPic => "nopic",
        }
    }

    /// The flag of the native link.
    pub fn link_flag(self) -> &'static str {
        match self {
            Self::Pic | Self::Pie => "-pie",
            Self::NoPic => "-no-pie",
        }
    }

    /// The value of rustc's `-C relocation-model`.
    pub fn rust_model(self) -> &'static str {
        match self {
            Self::Pic => "pic",
            Self::Pie => "pie",
            Self::NoPic => "static",
        }
    }
}

/// Something that is made of several members: an archive, a shared library, a JITDylib.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Group {
    /// File name (archive, shared library) or name of the JITDylib.
    pub name: String,
    /// Sources, objects, archives and `-l` options, in order.
    pub members: Vec<String>,
    /// What it links against, in link order.
    pub needs: Vec<String>,
}

/// `OptionsFor: B --own-definitions = -Wl,-Bsymbolic`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DylibOptions {
    /// Name of the JITDylib.
    pub dylib: String,
    /// Options of `orc run` behind `--dylib NAME`.
    pub orc: Vec<String>,
    /// Options of the native link of the shared library.
    pub native: Vec<String>,
}

/// `Make: FILE = command`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Make {
    /// The file that the command must leave in the build folder.
    pub file: String,
    /// A shell command, run in the build folder.
    pub command: String,
}

/// Which oracle judges the run of `orc`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Judge {
    /// The natively linked program.
    #[default]
    Native,
    /// The `ExpectStdout` lines and `Exit`.
    Expected,
    /// Both, and they have to agree with each other.
    Both,
}

/// All that a main source says about its case.
#[derive(Debug, Clone, Default)]
pub struct Directives {
    /// Compilers to build with.
    pub compilers: Vec<Compiler>,
    /// Alternatives of flags; each makes a variant.
    pub flags: Vec<Vec<String>>,
    /// Alternatives of address formation; each makes a variant.
    pub pic: Vec<Pic>,
    /// When not empty: only variants that have all words (compilers, `Pic` names, flags) of one of these alternatives.
    pub only: Vec<Vec<String>>,
    /// Flags of every C and C++ source, in all variants.
    pub compile_flags: Vec<String>,
    /// Folders of headers; `@PACKAGE/FOLDER` lies in a cargo package.
    pub includes: Vec<String>,
    /// Flags of one source, after all others.
    pub flags_for: Vec<(String, Vec<String>)>,
    /// Extra commands between compiling and linking.
    pub makes: Vec<Make>,
    /// Archives, made with `ar rcs`.
    pub archives: Vec<Group>,
    /// Real shared libraries, given to `orc` as inputs.
    pub shared: Vec<Group>,
    /// JITDylibs beside "main"; natively they are shared libraries.
    pub dylibs: Vec<Group>,
    /// Options of single JITDylibs.
    pub dylib_options: Vec<DylibOptions>,
    /// Link order of main, when it is not "every dylib, as given".
    pub needs: Option<Vec<String>>,
    /// Inputs of main for both sides, when they are not "all that nothing else claims".
    pub inputs: Option<Vec<String>>,
    /// Inputs of main for `orc`, when they differ.
    pub orc_inputs: Option<Vec<String>>,
    /// Inputs of the native link, when they differ.
    pub native_inputs: Option<Vec<String>>,
    /// Libraries of main for both sides, after its inputs.
    pub libs: Vec<String>,
    /// Options of `orc run`, before its inputs.
    pub orc_options: Vec<String>,
    /// Options of the native link.
    pub native_flags: Vec<String>,
    /// Arguments of the program.
    pub args: Vec<String>,
    /// Standard input, line by line.
    pub stdin: String,
    /// A file of the case's folder as standard input.
    pub stdin_file: Option<String>,
    /// Environment of the program.
    pub env: Vec<(String, String)>,
    /// Limit of the stack in KiB, on both sides.
    pub stack: Option<u32>,
    /// Seconds that a run may take.
    pub timeout: Option<u64>,
    /// Exit code; 128+N for a program that signal N ended.
    pub exit: i32,
    /// Standard output where no native program can tell it.
    pub expect_stdout: Option<String>,
    /// Fragments of `orc`'s error; with them exit 125 is expected and nothing is run natively.
    pub expect_error: Vec<String>,
    /// The exit code of a refusal: 125 when `orc` could not link, 2 for its usage.
    pub error_code: Option<i32>,
    /// Fragments that must not be in `orc`'s error.
    pub refuse_error: Vec<String>,
    /// Who judges.
    pub judge: Judge,
    /// The only executors that the case can hold for; none means all.
    pub executors: Option<Vec<Kind>>,
    /// Why the case does not hold where functions are linked when they are first called.
    pub not_lazy: Option<String>,
    /// Why the case does not hold on machines other than x86-64.
    pub not_elsewhere: Option<String>,
    /// Machines that the case does not hold on, and why.
    pub not_on: Vec<(String, String)>,
    /// The rules of `dylib-graph`'s documentation that the case would refute.
    pub rules: Vec<u32>,
}

/// How many rules there are.
pub const RULES: u32 = 30;

/// The numbers of a `Rule` line.
///
/// # Errors
/// None, or one that no rule has.
pub fn rules(value: &str) -> Result<Vec<u32>, Failure> {
    let rule = |word: &str| match word.parse() {
        Ok(rule) if (1..=RULES).contains(&rule) => Ok(rule),
        _ => Err(format!("`{word}` is no rule: they are 1 to {RULES}")),
    };
    let rules = value.split_whitespace().map(rule).collect::<Result<Vec<_>, _>>()?;
    if rules.is_empty() { Err("names no rule".into()) } else { Ok(rules) }
}

impl Directives {
    /// Reads the directives of a main source.
    ///
    /// # Errors
    /// A line that starts like a directive and is none, with its number.
    pub fn parse(source: &str) -> Result<Self, Failure> {
        let mut this = Self { pic: Vec::new(), ..Self::default() };
        let mut judge = None;
        for (number, line) in source.lines().enumerate() {
            let Some(text) = line.trim_start().strip_prefix("//#") else { continue };
            let (key, value) =
                text.split_once(':').ok_or_else(|| format!("line {}: `{line}` has no colon", number + 1))?;
            if key == "Oracle" {
                judge = Some(value.trim().to_owned());
                continue;
            }
            this.take(key, value).map_err(|why| format!("line {}: {key}: {why}", number + 1))?;
        }
        this.judge = match judge.as_deref() {
            None if this.expect_stdout.is_some() => Judge::Expected,
            None | Some("native") => Judge::Native,
            Some("expected") => Judge::Expected,
            Some("both") => Judge::Both,
            Some(other) => return Err(format!("Oracle: `{other}` is none of native, expected, both")),
        };
        Ok(this)
    }

    fn take(&mut self, key: &str, value: &str) -> Result<(), Failure> {
        // Lines of output and input keep their spaces: exactly one after the colon belongs to the directive.
        let line = value.strip_prefix(' ').unwrap_or(value);
        let value = value.trim();
        match key {
            "Compiler" => {
                for name in value.split_whitespace() {
                    self.compilers.push(match name {
                        "gcc" => Compiler::Gcc,
                        "clang" => Compiler::Clang,
                        "rustc" => Compiler::Rustc,
                        other => return Err(format!("`{other}` is none of gcc, clang, rustc")),
                    });
                }
            }
            "Pic" => {
                for name in value.split_whitespace() {
                    self.pic.push(match name {
                        "pic" => Pic::Pic,
                        "pie" => Pic::Pie,
                        "nopic" => Pic::NoPic,
                        other => return Err(format!("`{other}` is none of pic, pie, nopic")),
                    });
                }
            }
            "Flags" => self.flags.extend(value.split('|').map(words)),
            "Only" => self.only.extend(value.split('|').map(words)),
            "CompileFlags" => self.compile_flags = words(value),
            "Include" => self.includes = words(value),
            "FlagsFor" => {
                let mut all = words(value);
                if all.len() < 2 {
                    return Err("wants a source and its flags".into());
                }
                self.flags_for.push((all.remove(0), all));
            }
            "Make" => {
                let (file, command) = value.split_once(" = ").ok_or("wants `FILE = command`")?;
                self.makes.push(Make { file: file.trim().into(), command: command.trim().into() });
            }
            "Archive" => self.archives.push(group(value)?),
            "Shared" => self.shared.push(group(value)?),
            "Dylib" => self.dylibs.push(group(value)?),
            "Needs" => self.needs = Some(if value == "none" { Vec::new() } else { words(value) }),
            "Inputs" => self.inputs = Some(words(value)),
            "OrcInputs" => self.orc_inputs = Some(words(value)),
            "NativeInputs" => self.native_inputs = Some(words(value)),
            "Libs" => self.libs = words(value),
            "Rule" => self.rules.extend(rules(value)?),
            "OptionsFor" => {
                let (left, native) = value.split_once(" = ").ok_or("wants `DYLIB option... = option...`")?;
                let mut orc = words(left);
                if orc.len() < 2 {
                    return Err("wants a dylib and its options".into());
                }
                self.dylib_options.push(DylibOptions { dylib: orc.remove(0), orc, native: words(native) });
            }
            "Executors" => self.executors = Some(Kind::parse_list(value)?),
            "NotLazy" if value.is_empty() => return Err("says why".into()),
            "NotLazy" => self.not_lazy = Some(value.into()),
            "NotElsewhere" if value.is_empty() => return Err("says why".into()),
            "NotElsewhere" => self.not_elsewhere = Some(value.into()),
            "NotOn" => {
                let (machine, why) = value.split_once(' ').ok_or("wants a machine, and says why")?;
                if Machine::ALL.iter().all(|known| known.name != machine) {
                    return Err(format!("'{machine}' is no machine that cases run on"));
                }
                self.not_on.push((machine.into(), why.into()));
            }
            "OrcOptions" => self.orc_options = words(value),
            "NativeFlags" => self.native_flags = words(value),
            "Args" => self.args = words(value),
            "Stdin" => {
                self.stdin.push_str(line);
                self.stdin.push('\n');
            }
            "StdinFile" => self.stdin_file = Some(value.into()),
            "Env" => {
                let (name, value) = value.split_once('=').ok_or("wants NAME=VALUE")?;
                self.env.push((name.into(), value.into()));
            }
            "Stack" => self.stack = Some(number(value)?),
            "Timeout" => self.timeout = Some(number(value)?),
            "Exit" => self.exit = number(value)?,
            "ExpectStdout" => {
                let text = self.expect_stdout.get_or_insert_default();
                text.push_str(line);
                text.push('\n');
            }
            "ExpectError" => self.expect_error.push(value.into()),
            "ErrorCode" => self.error_code = Some(number(value)?),
            "RefuseError" => self.refuse_error.push(value.into()),
            _ => return Err("is no directive (see integration-tests/README.md)".into()),
        }
        Ok(())
    }
}

/// `NAME member... [needs X...]`
fn group(value: &str) -> Result<Group, Failure> {
    let mut all = words(value).into_iter();
    let name = all.next().ok_or("wants a name")?;
    let members = all.by_ref().take_while(|word| word != "needs").collect();
    Ok(Group { name, members, needs: all.collect() })
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

fn number<N: std::str::FromStr>(text: &str) -> Result<N, Failure> {
    text.parse().map_err(|_| format!("`{text}` is no number that fits"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_header() {
        let text = "//#Compiler: gcc\n//#Flags: -O0 | -O2 -g\n//#Dylib: B b.c needs C D\n//#ExpectStdout:   two spaces\n//#Exit: 3\nint main;\n";
        let found = Directives::parse(text).unwrap();
        assert_eq!(found.compilers, [Compiler::Gcc]);
        assert_eq!(found.flags, [vec!["-O0".to_owned()], vec!["-O2".into(), "-g".into()]]);
        assert_eq!(found.dylibs[0].members, ["b.c"]);
        assert_eq!(found.dylibs[0].needs, ["C", "D"]);
        assert_eq!(found.expect_stdout.as_deref(), Some("  two spaces\n"));
        assert_eq!((found.exit, found.judge), (3, Judge::Expected));
    }

    #[test]
    fn executors_are_all_unless_some_are_named() {
        assert_eq!(Directives::parse("int x;").unwrap().executors, None);
        let found = Directives::parse("//#Executors: in-process spawn\n").unwrap();
        assert_eq!(found.executors, Some(vec![Kind::InProcess, Kind::Spawn]));
        let error = Directives::parse("//#Executors: local\n").unwrap_err();
        assert!(error.starts_with("line 1: Executors: `local`"), "{error}");
        assert!(Directives::parse("//#Executors:\n").is_err(), "a case that holds nowhere is none");
    }

    #[test]
    fn rules_are_numbers_that_rules_have() {
        assert_eq!(Directives::parse("//#Rule: 19 21\n//#Rule: 7\n").unwrap().rules, [19, 21, 7]);
        let error = Directives::parse("//#Rule: 31\n").unwrap_err();
        assert!(error.starts_with("line 1: Rule: `31`"), "{error}");
        assert!(Directives::parse("//#Rule:\n").is_err(), "a line without a number says nothing");
    }

    #[test]
    fn options_of_one_dylib_are_of_both_sides() {
        let found = Directives::parse("//#OptionsFor: B --own-definitions = -Wl,-Bsymbolic\n").unwrap().dylib_options;
        assert_eq!(
            (&*found[0].dylib, &*found[0].orc[0], &*found[0].native[0]),
            ("B", "--own-definitions", "-Wl,-Bsymbolic")
        );
        assert!(Directives::parse("//#OptionsFor: B --own-definitions\n").is_err());
    }

    #[test]
    fn an_unknown_key_is_refused_with_its_line() {
        let error = Directives::parse("int x;\n//#Exitt: 3\n").unwrap_err();
        assert!(error.starts_with("line 2: Exitt:"), "{error}");
    }
}
