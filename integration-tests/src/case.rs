//! Cases: the folders under `cases/`, and the variants in which each is built.

use crate::directive::{Compiler, Directives, Pic};
use crate::machine::Machine;
use crate::{Failure, context};
use std::fs;
use std::path::{Path, PathBuf};

/// One folder.
#[derive(Debug, Clone)]
pub struct Case {
    /// `question/name`
    pub name: String,
    /// The folder.
    pub folder: PathBuf,
    /// File name of the main source.
    pub main: String,
    /// File names of all sources that are compiled, the main one first, the others by name.
    pub sources: Vec<String>,
    /// What the main source says.
    pub directives: Directives,
}

/// One way of building a case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variant {
    /// Compiler family.
    pub compiler: Compiler,
    /// One alternative of `Flags`.
    pub flags: Vec<String>,
    /// One alternative of `Pic`.
    pub pic: Pic,
}

impl Variant {
    /// As it stands in the trial's name: `gcc -O2 -fPIC`.
    pub fn label(&self) -> String {
        let mut label = self.compiler.name().to_owned();
        for flag in self.flags.iter().map(String::as_str).chain([self.pic.compile_flag()]) {
            label.push(' ');
            label.push_str(flag);
        }
        label
    }
}

impl Variant {
    fn has(&self, words: &[String]) -> bool {
        words.iter().all(|word| *word == self.compiler.name() || *word == self.pic.name() || self.flags.contains(word))
    }
}

impl Case {
    /// Reads one folder.
    ///
    /// # Errors
    /// No main source or more than one, a directive that is none, an unreadable folder.
    pub fn read(name: String, folder: PathBuf) -> Result<Self, Failure> {
        let mut sources = Vec::new();
        for entry in fs::read_dir(&folder).map_err(context(folder.display()))? {
            let file = entry.map_err(context(folder.display()))?.file_name().to_string_lossy().into_owned();
            if is_source(&file) {
                sources.push(file);
            }
        }
        sources.sort_by_key(|file| (!file.starts_with("main."), file.clone()));
        let mains = sources.iter().take_while(|file| file.starts_with("main.")).count();
        if mains != 1 {
            return Err(format!("{name}: {mains} main sources (main.c, main.cc, main.s or main.rs), one is needed"));
        }
        let main = sources[0].clone();
        let path = folder.join(&main);
        let text = fs::read_to_string(&path).map_err(context(path.display()))?;
        let mut directives = Directives::parse(&text).map_err(|why| format!("{}: {why}", path.display()))?;
        let rust = main.ends_with(".rs");
        if directives.compilers.is_empty() {
            directives.compilers = if rust { vec![Compiler::Rustc] } else { vec![Compiler::Gcc, Compiler::Clang] };
        }
        if directives.flags.is_empty() {
            directives.flags = vec![vec!["-O0".into()], vec!["-O2".into()]];
        }
        if directives.pic.is_empty() {
            directives.pic = vec![Pic::Pic, Pic::Pie, Pic::NoPic];
        }
        Ok(Self { name, folder, main, sources, directives })
    }

    /// Every combination of compiler, flags and address formation that `Only` lets through.
    pub fn variants(&self) -> impl Iterator<Item = Variant> + '_ {
        let said = &self.directives;
        let all = said.compilers.iter().flat_map(move |&compiler| {
            said.flags
                .iter()
                .flat_map(move |flags| said.pic.iter().map(move |&pic| Variant { compiler, flags: flags.clone(), pic }))
        });
        all.filter(|variant| said.only.is_empty() || said.only.iter().any(|words| variant.has(words)))
    }

    /// Whether it can be built for another machine. Assembly is one machine's, and Rust's standard library is not at hand for the others here.
    #[must_use]
    pub fn holds_on(&self, machine: &Machine) -> bool {
        let is_portable = |file: &String| !file.ends_with(".s") && !file.ends_with(".rs");
        self.directives.not_elsewhere.is_none()
            && self.directives.not_on.iter().all(|(name, _)| name != machine.name)
            && self.sources.iter().all(is_portable)
    }

    /// The variants whose flags compilers for this machine have, too. Where data of shared libraries cannot move, code that names it directly
    /// is left out if the case has other code.
    #[must_use]
    pub fn variants_on(&self, machine: &Machine) -> Vec<Variant> {
        let is_of_x86 =
            |flag: &String| ["-mcmodel=", "-mtls-dialect=", "-fcf-protection"].iter().any(|own| flag.starts_with(own));
        let mut variants: Vec<_> = self.variants().filter(|variant| !variant.flags.iter().any(is_of_x86)).collect();
        let is_direct = |variant: &Variant| variant.pic == Pic::NoPic;
        if !machine.data_moves && !variants.iter().all(is_direct) {
            variants.retain(|variant| !is_direct(variant));
        }
        variants
    }

    /// Whether the C++ driver and library are wanted.
    pub fn is_cpp(&self) -> bool {
        self.sources.iter().any(|file| file.ends_with(".cc"))
    }
}

/// Finds every case below `root`, sorted by name.
///
/// # Errors
/// Those of [`Case::read`].
pub fn discover(root: &Path) -> Result<Vec<Case>, Failure> {
    let mut found = Vec::new();
    for question in folders(root)? {
        if question == "include" {
            continue;
        }
        for name in folders(&root.join(&question))? {
            let folder = root.join(&question).join(&name);
            found.push(Case::read(format!("{question}/{name}"), folder)?);
        }
    }
    Ok(found)
}

fn folders(root: &Path) -> Result<Vec<String>, Failure> {
    let mut names = Vec::new();
    for entry in fs::read_dir(root).map_err(context(root.display()))? {
        let entry = entry.map_err(context(root.display()))?;
        if entry.path().is_dir() {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}

/// Whether a file is compiled; headers and scripts are not.
pub fn is_source(file: &str) -> bool {
    [".c", ".cc", ".s", ".rs"].iter().any(|end| file.ends_with(end))
}
