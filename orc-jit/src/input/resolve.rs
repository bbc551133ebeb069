//! From names to files: scripts are followed, `-l` is searched.

use super::kind::{FileKind, read_head};
use super::script::{Name, Script, ScriptError};
use super::search::NONSHARED_C_LIBRARY;
use super::{InputError, SearchPath};
use std::fs;
use std::path::{Path, PathBuf};

/// One file to link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// Where it is.
    pub path: PathBuf,
    /// What it is: never [`FileKind::Script`]. For names that promise a kind (`.o`, `.a`, `.rlib`) the promise, otherwise what its first bytes show.
    pub kind: FileKind,
    /// A shared library that is to be loaded only when something refers to it.
    pub as_needed: bool,
}

/// Scripts that name scripts that name scripts: more than this is taken for a loop.
const DEPTH: usize = 32;

/// Scripts are short; a text of this size is something else.
const SCRIPT_SIZE: u64 = 1 << 20;

/// Turns what a user names into files.
#[derive(Clone, Debug)]
pub struct Resolver {
    search: SearchPath,
}

impl Input {
    /// Whether it is the part of the C library that is an archive: to be searched last, whoever named it
    /// ([`SearchPath::unasked_archives`]).
    #[must_use]
    pub fn is_nonshared_c_library(&self) -> bool {
        self.kind == FileKind::Archive && self.path.file_name() == Some(NONSHARED_C_LIBRARY.as_ref())
    }
}

impl Resolver {
    /// A resolver that looks for libraries in `search`.
    #[must_use]
    pub fn new(search: SearchPath) -> Self {
        Self { search }
    }

    /// Where libraries are looked for.
    #[must_use]
    pub fn search_path(&self) -> &SearchPath {
        &self.search
    }

    /// The files that the input `path` stands for: itself, or what it names when it is a linker script.
    ///
    /// # Errors
    /// When it, or something that it names, cannot be read or is nothing that can be linked. A file whose name promises its kind is not opened.
    pub fn file(&self, path: &Path) -> Result<Vec<Input>, InputError> {
        self.follow(path.to_path_buf())
    }

    /// The files that `-lNAME` stands for ([`SearchPath::library`]).
    ///
    /// # Errors
    /// As [`Resolver::file`], and when there is no such library.
    pub fn library(&self, name: &str) -> Result<Vec<Input>, InputError> {
        self.follow(self.search.library(name)?)
    }

    fn follow(&self, path: PathBuf) -> Result<Vec<Input>, InputError> {
        let mut inputs = Vec::new();
        // What is still to be looked at, last first.
        let mut pending = vec![(path, false, 0)];
        while let Some((path, as_needed, depth)) = pending.pop() {
            let kind = match FileKind::of_name(&path) {
                Some(kind) => kind,
                None => read_head(&path)?.kind,
            };
            if kind != FileKind::Script {
                inputs.push(Input { path, kind, as_needed });
                continue;
            }
            if depth == DEPTH {
                return Err(InputError::Nesting { path, limit: DEPTH });
            }
            let script = self.read_script(&path)?;
            for member in script.members.iter().rev() {
                let found = match &member.name {
                    Name::Library(name) => self.search.library(name).ok(),
                    Name::File(name) => self.member(&path, &script, Path::new(name)),
                };
                let Some(found) = found else {
                    let name = match &member.name {
                        Name::Library(name) => format!("-l{name}"),
                        Name::File(name) => name.clone(),
                    };
                    return Err(InputError::ScriptMember { script: path, line: member.line, name });
                };
                pending.push((found, as_needed || member.as_needed, depth + 1));
            }
        }
        Ok(inputs)
    }

    /// A relative name is looked for beside the script, then here, then in the search path.
    fn member(&self, script_path: &Path, script: &Script, name: &Path) -> Option<PathBuf> {
        if name.is_absolute() {
            return name.exists().then(|| name.to_path_buf());
        }
        let beside = script_path.with_file_name(name);
        if beside.is_file() {
            return Some(beside);
        }
        if name.is_file() {
            return Some(name.to_path_buf());
        }
        let own = script.search_dirs.iter().map(|dir| Path::new(dir).join(name)).find(|path| path.is_file());
        own.or_else(|| self.search.file(name))
    }

    fn read_script(&self, path: &Path) -> Result<Script, InputError> {
        let size = fs::metadata(path).map_err(|error| InputError::read(path, error))?.len();
        if size > SCRIPT_SIZE {
            return Err(InputError::unusable(
                path,
                "is a long text, not an object",
                "give an object, an archive or a shared library",
            ));
        }
        let text = fs::read(path).map_err(|error| InputError::read(path, error))?;
        let script = Script::parse(&text).map_err(|error| not_a_script(path, error))?;
        let formats = self.search.target().output_formats;
        match &script.output_format {
            Some(format) if !formats.contains(&format.as_str()) => Err(InputError::unusable(
                path,
                format!("is a linker script for {format}"),
                format!("one for {} is needed", formats[0]),
            )),
            _ => Ok(script),
        }
    }
}

/// Text that is no linker script was mostly meant for a compiler.
fn not_a_script(path: &Path, error: ScriptError) -> InputError {
    let source = match path.extension().and_then(|extension| extension.to_str()) {
        Some("c" | "h" | "i") => Some(("C", "cc -c")),
        Some("cc" | "cpp" | "cxx" | "C" | "hpp" | "ii") => Some(("C++", "c++ -c")),
        Some("rs") => Some(("Rust", "rustc --emit=obj")),
        Some("s" | "S" | "asm") => Some(("assembly", "cc -c")),
        Some("ll") => Some(("LLVM IR", "llc -filetype=obj")),
        _ => None,
    };
    match source {
        Some((language, compiler)) => InputError::unusable(
            path,
            format!("is {language} source, not an object"),
            format!("compile it first: {compiler} {}", path.display()),
        ),
        None => InputError::Script { path: path.into(), error },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::Target;

    fn resolver(dir: &Path) -> Resolver {
        Resolver::new(SearchPath::only(vec![dir.to_path_buf()], &Target::ALL[0]))
    }

    /// Writes `files`, resolves the first; the names of what comes out, `?` after those as needed.
    fn resolve(files: &[(&str, &str)]) -> Result<String, String> {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().to_str().unwrap().to_owned();
        for (name, text) in files {
            fs::write(dir.path().join(name), text.replace("ROOT", &root)).unwrap();
        }
        let shown = |error: InputError| error.to_string().replace(&format!("{root}/"), "");
        let inputs = resolver(dir.path()).file(&dir.path().join(files[0].0)).map_err(shown)?;
        let name = |input: &Input| {
            let file = input.path.strip_prefix(dir.path()).unwrap().display().to_string();
            file + if input.as_needed { "?" } else { "" }
        };
        Ok(inputs.iter().map(name).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn scripts_are_followed_in_order() {
        let files = [
            ("libm.so", "GROUP(beside.a ROOT/abs.o AS_NEEDED(inner.so -lk))"),
            ("inner.so", "INPUT(-lk x.o)"),
            ("libk.a", ""),
            ("beside.a", ""),
            ("abs.o", ""),
            ("x.o", ""),
        ];
        assert_eq!(resolve(&files).unwrap(), "beside.a abs.o libk.a? x.o? libk.a?");
    }

    #[test]
    fn what_cannot_be_followed_is_explained() {
        let check = |files: &[(&str, &str)], expected: &str| assert_eq!(resolve(files).unwrap_err(), expected);
        check(&[("a.so", "INPUT(a.so)")], "a.so: linker scripts name each other more than 32 deep");
        check(&[("a.so", "\nGROUP(b.o)")], "a.so:2: cannot find b.o, which this linker script asks for");
        check(&[("a.so", "GROUP(-lb)")], "a.so:1: cannot find -lb, which this linker script asks for");
        check(&[("a.so", "OUTPUT_FORMAT(elf32-i386)")], "a.so is a linker script for elf32-i386");
        check(
            &[("a.so", "MEMORY {}")].map(|f| f),
            "a.so:1:1: MEMORY has no meaning when linking into memory; only GROUP, INPUT, AS_NEEDED, OUTPUT_FORMAT, OUTPUT_ARCH and SEARCH_DIR are supported",
        );
        check(&[("a.c", "int main() {}")], "a.c is C source, not an object");
        check(&[("a.so", "")], "a.so is an empty file");
        check(&[("a.so", "x\0y")], "a.so is in no known format");
        check(&[("a.so", "\u{7f}ELF\u{2}\u{1}")], "a.so is an ELF file with a damaged header");
        let missing = resolver(Path::new("/")).file(Path::new("/no/such.so")).unwrap_err();
        assert_eq!(missing.to_string(), "cannot read /no/such.so: no such file");
        let directory = resolver(Path::new("/")).file(Path::new("/usr")).unwrap_err();
        assert_eq!(directory.to_string(), "cannot read /usr: it is a directory");
    }

    #[test]
    fn names_that_promise_a_kind_are_not_opened() {
        for (name, kind) in
            [("/no/x.o", FileKind::Object), ("/no/x.a", FileKind::Archive), ("/no/x.rlib", FileKind::Archive)]
        {
            assert_eq!(resolver(Path::new("/")).file(Path::new(name)).unwrap()[0].kind, kind);
        }
    }
}
