//! Building one variant of a case: objects, archives, shared libraries, the native program, and the command line for `orc`.
//!
//! Everything lies in one folder per variant and is kept: a stamp holds the hash of all that went in (sources, headers, flags, compiler
//! versions, the recipe's number), and a build whose stamp agrees is not repeated.

use crate::case::{Case, Variant, is_source};
use crate::directive::{Compiler, Group, Judge, Pic};
use crate::package;
use crate::process::tool;
use crate::workplace::Workplace;
use crate::{Failure, context};
use std::ffi::OsString;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// Raised with every change of the commands below, so that older builds are not taken for current ones.
const RECIPE: u32 = 1;

/// A variant that is ready to be run.
#[derive(Debug, Clone)]
pub struct Built {
    /// The folder with everything; both sides run in it.
    pub folder: PathBuf,
    /// What follows `orc` on the command line.
    pub orc_words: Vec<OsString>,
    /// The natively linked program, when a native oracle is wanted.
    pub native: Option<PathBuf>,
    /// Hash of all that went in.
    pub stamp: String,
}

/// The two sets of objects: as the variant says, and `-fPIC` for what becomes a real shared library.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Set {
    Variant,
    Shareable,
}

/// Builds what the stamp says is not there yet.
///
/// # Errors
/// A tool is missing (with its package) or fails (with its command line and output).
pub fn build(workplace: &Workplace, case: &Case, variant: &Variant) -> Result<Built, Failure> {
    let folder = workplace.builds.join(&case.name).join(variant.label().replace(' ', "").replace('/', "_"));
    let case = &resolved(workplace, case)?;
    let builder = Builder { workplace, case, variant, folder };
    let stamp = builder.stamp()?;
    let stamp_file = builder.folder.join("stamp");
    if fs::read_to_string(&stamp_file).ok().as_deref() != Some(stamp.as_str()) {
        // A folder of an older build may hold files that this one does not make.
        if builder.folder.exists() {
            fs::remove_dir_all(&builder.folder).map_err(context(builder.folder.display()))?;
        }
        fs::create_dir_all(builder.folder.join("so")).map_err(context(builder.folder.display()))?;
        fs::create_dir_all(builder.folder.join("pic")).map_err(context(builder.folder.display()))?;
        builder.objects()?;
        builder.makes()?;
        builder.archives()?;
        builder.shared()?;
        if builder.wants_native() {
            builder.native_dylibs()?;
            builder.native_program()?;
        }
        fs::write(&stamp_file, &stamp).map_err(context(stamp_file.display()))?;
    }
    let native = builder.wants_native().then(|| builder.folder.join("native"));
    Ok(Built { orc_words: builder.orc_words(), folder: builder.folder.clone(), native, stamp })
}

/// The case with patterns replaced by what they name, and with the sources of other places that it mentions.
fn resolved(workplace: &Workplace, case: &Case) -> Result<Case, Failure> {
    let mut case = case.clone();
    let said = &mut case.directives;
    let groups =
        [&mut said.archives, &mut said.shared, &mut said.dylibs].into_iter().flatten().map(|group| &mut group.members);
    let lists = [&mut said.inputs, &mut said.orc_inputs, &mut said.native_inputs].into_iter().flatten();
    for words in groups.chain(lists).chain([&mut said.includes]) {
        let mut expanded = Vec::new();
        for word in words.iter() {
            expanded.extend(package::expand(workplace, &case.folder, word)?);
        }
        *words = expanded;
    }
    let said = &case.directives;
    let groups = said.archives.iter().chain(&said.shared).chain(&said.dylibs).flat_map(|group| &group.members);
    let mentioned = groups.chain(said.inputs.iter().chain(&said.orc_inputs).chain(&said.native_inputs).flatten());
    let mut elsewhere: Vec<String> = mentioned.filter(|word| word.contains('/') && is_source(word)).cloned().collect();
    elsewhere.sort();
    elsewhere.dedup();
    case.sources.extend(elsewhere);
    Ok(case)
}

struct Builder<'a> {
    workplace: &'a Workplace,
    case: &'a Case,
    variant: &'a Variant,
    folder: PathBuf,
}

impl Builder<'_> {
    fn wants_native(&self) -> bool {
        self.case.directives.judge != Judge::Expected && self.case.directives.expect_error.is_empty()
    }

    fn include(&self) -> PathBuf {
        self.workplace.cases.join("include")
    }

    fn stamp(&self) -> Result<String, Failure> {
        let mut hasher = DefaultHasher::new();
        RECIPE.hash(&mut hasher);
        self.variant.label().hash(&mut hasher);
        self.case.sources.hash(&mut hasher);
        versions().hash(&mut hasher);
        for folder in [&self.case.folder, &self.include()] {
            let mut files: Vec<_> = fs::read_dir(folder)
                .and_then(|entries| entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>())
                .map_err(context(folder.display()))?;
            files.sort();
            for file in files {
                file.hash(&mut hasher);
                fs::read(&file).map_err(context(file.display()))?.hash(&mut hasher);
            }
        }
        Ok(format!("{:016x}\n", hasher.finish()))
    }

    fn objects(&self) -> Result<(), Failure> {
        self.compile_all(&self.case.sources)?;
        if self.two_sets() {
            let said = &self.case.directives;
            let groups = said.shared.iter().chain(if self.wants_native() { said.dylibs.as_slice() } else { &[] });
            for member in groups.flat_map(|group| &group.members) {
                let inside = said.archives.iter().find(|archive| archive.name == *member);
                let sources = inside.map_or(std::slice::from_ref(member), |archive| archive.members.as_slice());
                for source in sources.iter().filter(|source| is_source(source)) {
                    self.compile(source, Set::Shareable)?;
                }
            }
        }
        Ok(())
    }

    /// Compiles side by side: trials are, too, but a program of fifty units should not be one long tail.
    fn compile_all(&self, sources: &[String]) -> Result<(), Failure> {
        let next = AtomicUsize::new(0);
        let work = || {
            while let Some(source) = sources.get(next.fetch_add(1, Ordering::Relaxed)) {
                self.compile(source, Set::Variant)?;
            }
            Ok(())
        };
        if sources.len() < 4 {
            return work();
        }
        thread::scope(|scope| {
            let other = scope.spawn(work);
            let mine = work();
            other.join().map_err(|_| "a compiling thread panicked".to_owned())?.and(mine)
        })
    }

    /// Whether the variant's own objects are unfit for a real shared library that the case needs.
    fn two_sets(&self) -> bool {
        let said = &self.case.directives;
        self.variant.pic != Pic::Pic && (!said.shared.is_empty() || (self.wants_native() && !said.dylibs.is_empty()))
    }

    fn compile(&self, source: &str, set: Set) -> Result<(), Failure> {
        let path = self.case.folder.join(source);
        let object = self.object(source, set);
        let mut words: Vec<OsString> = Vec::new();
        if source.ends_with(".rs") {
            let model = if set == Set::Shareable { "pic" } else { self.variant.pic.rust_model() };
            words.extend(
                ["rustc", "--edition=2024", "--emit=obj", "-Cpanic=abort", "-Ccodegen-units=1", "-o"]
                    .map(OsString::from),
            );
            words.extend([object.into(), path.into(), format!("-Crelocation-model={model}").into()]);
            words.extend(self.variant.flags.iter().map(|flag| rust_flag(flag).into()));
        } else {
            words.extend([self.driver(source).into(), "-c".into(), path.into(), "-o".into(), object.into()]);
            words.extend([OsString::from("-I"), self.include().into()]);
            words.extend(self.case.directives.includes.iter().flat_map(|folder| ["-I".into(), folder.into()]));
            words.extend(self.case.directives.compile_flags.iter().map(OsString::from));
            words.extend(self.flags(set).into_iter().map(OsString::from));
        }
        let own = self.case.directives.flags_for.iter().filter(|(name, _)| name == source);
        words.extend(own.flat_map(|(_, flags)| flags).map(OsString::from));
        self.tool(&words)
    }

    /// Runs a tool of the build. For another machine it is that machine's, under the same name.
    fn tool(&self, words: &[OsString]) -> Result<(), Failure> {
        self.tool_in(words, &[])
    }

    fn tool_in(&self, words: &[OsString], env: &[(String, OsString)]) -> Result<(), Failure> {
        let Some(machine) = self.workplace.machine else { return tool(&self.folder, words, env) };
        let mut path = machine.tools(&self.workplace.builds)?.into_os_string();
        path.push(":");
        path.push(std::env::var_os("PATH").unwrap_or_default());
        let env: Vec<_> = env.iter().cloned().chain([("PATH".to_owned(), path)]).collect();
        tool(&self.folder, words, &env)
    }

    fn flags(&self, set: Set) -> Vec<String> {
        let pic = if set == Set::Shareable { Pic::Pic } else { self.variant.pic };
        [pic.compile_flag().to_owned()].into_iter().chain(self.variant.flags.iter().cloned()).collect()
    }

    fn driver(&self, source: &str) -> &'static str {
        match (self.variant.compiler, source.ends_with(".cc")) {
            (Compiler::Clang, false) => "clang-19",
            (Compiler::Clang, true) => "clang++-19",
            (_, false) => "gcc",
            (_, true) => "g++",
        }
    }

    fn linker(&self) -> &'static str {
        self.driver(if self.case.is_cpp() { "x.cc" } else { "x.c" })
    }

    /// A source's object, an archive of that set, or the word itself.
    fn object(&self, word: &str, set: Set) -> String {
        let prefix = if set == Set::Shareable && self.two_sets() { "pic/" } else { "" };
        if is_source(word) {
            let file = word.rsplit_once('/').map_or(word, |(_, file)| file);
            let stem = file.rsplit_once('.').map_or(file, |(stem, _)| stem);
            format!("{prefix}{stem}.o")
        } else if self.case.directives.archives.iter().any(|archive| archive.name == word) {
            format!("{prefix}{word}")
        } else {
            word.to_owned()
        }
    }

    fn makes(&self) -> Result<(), Failure> {
        let env: Vec<(String, OsString)> = vec![
            ("CC".into(), self.driver("x.c").into()),
            ("CXX".into(), self.driver("x.cc").into()),
            ("FLAGS".into(), self.flags(Set::Variant).join(" ").into()),
            ("LINKFLAG".into(), self.variant.pic.link_flag().into()),
            ("CASE".into(), self.case.folder.clone().into()),
            ("INCLUDE".into(), self.include().into()),
        ];
        for make in &self.case.directives.makes {
            self.tool_in(&["sh".into(), "-ec".into(), make.command.clone().into()], &env)?;
            if !self.folder.join(&make.file).exists() {
                return Err(format!("Make: `{}` left no {}", make.command, make.file));
            }
        }
        Ok(())
    }

    fn archives(&self) -> Result<(), Failure> {
        let sets: &[Set] = if self.two_sets() { &[Set::Variant, Set::Shareable] } else { &[Set::Variant] };
        for archive in &self.case.directives.archives {
            for &set in sets {
                let members: Vec<_> = archive.members.iter().map(|member| self.object(member, set)).collect();
                if members.iter().all(|member| self.folder.join(member).exists()) {
                    let mut words: Vec<OsString> =
                        vec!["ar".into(), "rcs".into(), self.object(&archive.name, set).into()];
                    words.extend(members.into_iter().map(OsString::from));
                    self.tool(&words)?;
                }
            }
        }
        Ok(())
    }

    fn shared(&self) -> Result<(), Failure> {
        for library in &self.case.directives.shared {
            let rpath = ["-Wl,-rpath,$ORIGIN".to_owned(), format!("-Wl,-soname,{}", library.name)];
            self.link_shared(&library.name, library, library.needs.clone(), &rpath)?;
        }
        Ok(())
    }

    /// Each JITDylib as a shared library whose file name and soname are the dylib's name: `dlopen("B")` then means the same on both sides.
    fn native_dylibs(&self) -> Result<(), Failure> {
        let dylibs = &self.case.directives.dylibs;
        // Libraries that need each other: the first round links them alone, the second against the first's.
        let rounds = if dylibs.iter().all(|dylib| dylib.needs.is_empty()) { 1 } else { 2 };
        for round in 0..rounds {
            for dylib in dylibs {
                let needs = if round + 1 == rounds { self.native_needs(&dylib.needs) } else { Vec::new() };
                let mut flags = vec![format!("-Wl,-soname,{}", dylib.name), "-Wl,-rpath-link,so".into()];
                let options = self.case.directives.dylib_options.iter().filter(|options| options.dylib == dylib.name);
                flags.extend(options.flat_map(|options| options.native.iter().cloned()));
                self.link_shared(&format!("so/{}", dylib.name), dylib, needs, &flags)?;
            }
        }
        Ok(())
    }

    fn link_shared(&self, file: &str, group: &Group, needs: Vec<String>, flags: &[String]) -> Result<(), Failure> {
        let mut words: Vec<OsString> = vec![self.linker().into(), "-shared".into(), "-o".into(), file.into()];
        words.extend(flags.iter().map(OsString::from));
        words.extend(group.members.iter().map(|member| self.object(member, Set::Shareable).into()));
        words.extend(as_needed_off(needs));
        self.tool(&words)
    }

    /// Files of the libraries that stand for these dylibs; the program itself is reached without being named.
    fn native_needs(&self, names: &[String]) -> Vec<String> {
        names.iter().filter(|name| *name != "main").map(|name| format!("so/{name}")).collect()
    }

    fn native_program(&self) -> Result<(), Failure> {
        let said = &self.case.directives;
        let mut words: Vec<OsString> =
            vec![self.linker().into(), "-o".into(), "native".into(), self.variant.pic.link_flag().into()];
        words.extend(said.native_flags.iter().map(OsString::from));
        let inputs =
            said.native_inputs.as_ref().or(said.inputs.as_ref()).cloned().unwrap_or_else(|| self.default_inputs());
        words.extend(inputs.iter().map(|input| self.object(input, Set::Variant).into()));
        if self.uses_runtime()? {
            let shim = self.include().join("native_rt.c");
            let compile: Vec<OsString> = vec![
                "gcc".into(),
                "-c".into(),
                shim.into(),
                "-o".into(),
                "native_rt.o".into(),
                "-fPIC".into(),
                "-O1".into(),
            ];
            self.tool(&compile)?;
            words.push("native_rt.o".into());
        }
        if !said.dylibs.is_empty() {
            words.extend(["-rdynamic".into(), "-Wl,-rpath-link,so".into()]);
            let all = || said.dylibs.iter().map(|dylib| dylib.name.clone()).collect();
            words.extend(as_needed_off(self.native_needs(&said.needs.clone().unwrap_or_else(all))));
        }
        if !said.shared.is_empty() {
            words.push("-Wl,-rpath,$ORIGIN".into());
        }
        words.extend(said.libs.iter().map(OsString::from));
        self.tool(&words)
    }

    /// Whether a source calls the `__orc_rt_jit_*` functions, for which the native program gets stand-ins.
    fn uses_runtime(&self) -> Result<bool, Failure> {
        for source in &self.case.sources {
            let path = self.case.folder.join(source);
            let text = fs::read_to_string(&path).map_err(context(path.display()))?;
            if text.contains("\"orc_rt.h\"") || text.contains("\"open.h\"") {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Sources that no archive, library or dylib claims, then the archives and libraries that no dylib claims.
    fn default_inputs(&self) -> Vec<String> {
        let said = &self.case.directives;
        let claimed =
            |groups: &[Group], word: &str| groups.iter().any(|group| group.members.iter().any(|member| member == word));
        let sources = self.case.sources.iter().filter(|source| {
            !claimed(&said.archives, source) && !claimed(&said.shared, source) && !claimed(&said.dylibs, source)
        });
        let archives = said.archives.iter().map(|archive| &archive.name).filter(|name| !claimed(&said.dylibs, name));
        let shared = said.shared.iter().map(|library| &library.name).filter(|name| !claimed(&said.dylibs, name));
        sources.chain(archives).chain(shared).cloned().collect()
    }

    fn orc_words(&self) -> Vec<OsString> {
        let said = &self.case.directives;
        let mut words: Vec<String> = vec!["run".into()];
        words.extend(said.orc_options.iter().cloned());
        let inputs =
            said.orc_inputs.as_ref().or(said.inputs.as_ref()).cloned().unwrap_or_else(|| self.default_inputs());
        // What g++ adds without being asked.
        let cpp: &[String] = if self.case.is_cpp() { &["-lstdc++".into(), "-lm".into()] } else { &[] };
        words.extend(inputs.iter().map(|input| self.object(input, Set::Variant)));
        words.extend(said.libs.iter().chain(cpp).cloned());
        if let Some(needs) = &said.needs {
            words.extend(["--needs".into(), needs.join(",")]);
        }
        for dylib in &said.dylibs {
            words.extend(["--dylib".into(), dylib.name.clone()]);
            let options = said.dylib_options.iter().filter(|options| options.dylib == dylib.name);
            words.extend(options.flat_map(|options| options.orc.iter().cloned()));
            words.extend(dylib.members.iter().map(|member| self.object(member, Set::Variant)));
            words.extend(cpp.iter().cloned());
            if !dylib.needs.is_empty() {
                words.extend(["--needs".into(), dylib.needs.join(",")]);
            }
        }
        if !said.args.is_empty() {
            words.push("--".into());
            words.extend(said.args.iter().cloned());
        }
        words.into_iter().map(OsString::from).collect()
    }
}

/// Libraries that are linked whether or not a symbol of theirs is used, as a link order is.
fn as_needed_off(libraries: Vec<String>) -> Vec<OsString> {
    if libraries.is_empty() {
        return Vec::new();
    }
    let mut words: Vec<OsString> = vec!["-Wl,--push-state,--no-as-needed".into()];
    words.extend(libraries.into_iter().map(OsString::from));
    words.push("-Wl,--pop-state".into());
    words
}

fn rust_flag(flag: &str) -> String {
    match flag {
        "-O0" => "-Copt-level=0".into(),
        "-O2" => "-Copt-level=2".into(),
        other => other.into(),
    }
}

/// First lines of the compilers' versions: another compiler makes other objects.
fn versions() -> &'static str {
    static VERSIONS: OnceLock<String> = OnceLock::new();
    VERSIONS.get_or_init(|| {
        ["gcc", "clang-19", "rustc", "ld"]
            .iter()
            .map(|program| first_line(Path::new(program)))
            .collect::<Vec<_>>()
            .join("\n")
    })
}

fn first_line(program: &Path) -> String {
    // A missing compiler is told by the first trial that wants it.
    let output = Command::new(program).arg("--version").output().map(|output| output.stdout).unwrap_or_default();
    String::from_utf8_lossy(&output).lines().next().unwrap_or_default().to_owned()
}
