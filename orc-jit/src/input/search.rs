//! Finding the file that `-lNAME` means, as the linkers of the system do.

use super::kind::{FileKind, read_head};
use super::{InputError, Target};
use crate::diagnose::nearest;
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// The members of glibc that programs must have for themselves (`atexit`, `stat` of older headers).
pub(super) const NONSHARED_C_LIBRARY: &str = "libc_nonshared.a";

/// The compiler's own functions.
const LIBGCC: &str = "libgcc.a";

/// The directories in which libraries are looked for, in order.
#[derive(Clone, Debug)]
pub struct SearchPath {
    /// Those of the user (`-L`).
    user: Vec<PathBuf>,
    /// Those of the system. Found when first searched: many programs need no library at all.
    system: OnceLock<Vec<PathBuf>>,
    /// Where the dynamic loader looks besides: only versioned names (`libfoo.so.6`) are taken from here.
    loader: OnceLock<Vec<PathBuf>>,
    target: &'static Target,
}

impl SearchPath {
    /// `user` first, then the directories that the host's compiler would give to its linker.
    #[must_use]
    pub fn host(user: Vec<PathBuf>) -> Self {
        Self::of(Target::host(), user)
    }

    /// `user` first, then the directories that a compiler for `target` on this system would give to its linker. Libraries are found here and opened where the executor is:
    /// for another machine its system's libraries have to be here under the same names, as cross compilers and user-mode emulators have them.
    #[must_use]
    pub fn of(target: &'static Target, user: Vec<PathBuf>) -> Self {
        Self { user, system: OnceLock::new(), loader: OnceLock::new(), target }
    }

    /// Only `directories`, for `target`.
    #[must_use]
    pub fn only(directories: Vec<PathBuf>, target: &'static Target) -> Self {
        Self { user: directories, system: Vec::new().into(), loader: Vec::new().into(), target }
    }

    /// The directories that `-l` searches, in order.
    pub fn directories(&self) -> impl Iterator<Item = &Path> {
        let system = self.user.iter().map(Some).chain([None]);
        // The system's directories are looked for when the user's are exhausted.
        let all = system.flat_map(|user| match user {
            Some(dir) => std::slice::from_ref(dir),
            None => self.system.get_or_init(|| system_directories(self.target)),
        });
        all.map(PathBuf::as_path)
    }

    fn loader_directories(&self) -> impl Iterator<Item = &Path> {
        let found = self.loader.get_or_init(|| {
            if self.target != Target::host() {
                return Vec::new();
            }
            let environment = std::env::var_os("LD_LIBRARY_PATH");
            let mut dirs: Vec<PathBuf> =
                environment.iter().flat_map(std::env::split_paths).filter(|dir| dir.is_absolute()).collect();
            dirs.extend(loader_directories(Path::new("/etc/ld.so.conf")));
            dirs
        });
        found.iter().map(PathBuf::as_path)
    }

    /// The archives that every program is linked against unasked, where development files are installed: the part of the C library that is one, and
    /// the compiler's own for machines whose code calls it.
    #[must_use]
    pub fn unasked_archives(&self) -> Vec<PathBuf> {
        let Target { multiarch, calls_libgcc, .. } = *self.target;
        let usual = if self.target == Target::host() {
            vec![format!("/usr/lib/{multiarch}"), "/usr/lib64".into(), "/usr/lib".into()]
        } else {
            vec![format!("/usr/{multiarch}/lib"), format!("/usr/lib/{multiarch}")]
        };
        let c_library = usual.iter().map(|dir| Path::new(dir).join(NONSHARED_C_LIBRARY)).find(|path| path.is_file());
        let compilers = calls_libgcc.then(|| compiler_directory(self.target)).flatten().map(|dir| dir.join(LIBGCC));
        c_library.into_iter().chain(compilers).collect()
    }

    /// The machine that libraries must be for.
    #[must_use]
    pub fn target(&self) -> &'static Target {
        self.target
    }

    /// What `-lNAME` means: in each directory `libNAME.so`, then `libNAME.a`. `:FILE` is the name of a file as it is.
    ///
    /// Where there is neither, but the dynamic loader knows a `libNAME.so.VERSION` (no development package is installed), that is taken.
    /// Shared libraries for other machines are passed over, as linkers do.
    ///
    /// # Errors
    /// [`InputError::Library`] when there is none.
    pub fn library(&self, name: &str) -> Result<PathBuf, InputError> {
        let wanted = match name.strip_prefix(':') {
            Some(exact) => vec![exact.to_owned()],
            None => vec![format!("lib{name}.so"), format!("lib{name}.a")],
        };
        let mut incompatible = Vec::new();
        for dir in self.directories() {
            for file in &wanted {
                let path = dir.join(file);
                if !path.is_file() {
                    continue;
                }
                if self.fits(&path) {
                    return Ok(path);
                }
                incompatible.push(path);
            }
        }
        if !name.starts_with(':')
            && let Some(path) = self.versioned(name)
        {
            return Ok(path);
        }
        Err(InputError::Library {
            name: name.to_owned(),
            wanted,
            searched: self.directories().map(Path::to_path_buf).collect(),
            incompatible,
            nearest: self.nearest_library(name),
        })
    }

    /// The file `name` in the first directory that has it.
    #[must_use]
    pub fn file(&self, name: &Path) -> Option<PathBuf> {
        self.directories().map(|dir| dir.join(name)).find(|path| path.is_file())
    }

    /// Archives and objects are not opened for this: whoever reads them sees what they are.
    fn fits(&self, path: &Path) -> bool {
        FileKind::of_name(path).is_some() || read_head(path).is_ok_and(|head| head.fits(self.target))
    }

    /// `libNAME.so.VERSION` with the greatest version, in the first directory that has one.
    fn versioned(&self, name: &str) -> Option<PathBuf> {
        let prefix = format!("lib{name}.so.");
        self.directories().chain(self.loader_directories()).find_map(|dir| {
            let mut found: Vec<(Vec<u64>, PathBuf)> = entries(dir)
                .filter_map(|file| Some((version(file.strip_prefix(&prefix)?)?, dir.join(&file))))
                .filter(|(_, path)| self.fits(path))
                .collect();
            // The shortest of the greatest major version is the name that loaders use: libstdc++.so.6 before libstdc++.so.6.0.30.
            found.sort_by(|(a, _), (b, _)| a[0].cmp(&b[0]).then(b.len().cmp(&a.len())).then(a.cmp(b)));
            found.pop().map(|(_, path)| path)
        })
    }

    fn nearest_library(&self, name: &str) -> Option<String> {
        let mut names = BTreeSet::new();
        for file in self.directories().flat_map(entries) {
            let Some(rest) = file.strip_prefix("lib") else { continue };
            if let Some(stem) = rest.strip_suffix(".a").or_else(|| rest.split_once(".so").map(|(stem, _)| stem)) {
                names.insert(stem.to_owned());
            }
        }
        nearest(name, names.iter().map(String::as_str)).map(str::to_owned)
    }
}

/// The names in `dir` that are text; none when it cannot be read.
fn entries(dir: &Path) -> impl Iterator<Item = String> + use<> {
    fs::read_dir(dir).into_iter().flatten().filter_map(|entry| entry.ok()?.file_name().into_string().ok())
}

/// `6.0.30` as numbers.
fn version(text: &str) -> Option<Vec<u64>> {
    text.split('.').map(|part| part.parse().ok()).collect()
}

/// What compiler drivers pass to linkers on Linux systems: the compiler's own directory, then multiarch, then the rest. Only those that exist.
/// Compilers for other machines have a directory for these (`/usr/aarch64-linux-gnu/lib`), and not the rest, which is the host's.
fn system_directories(target: &Target) -> Vec<PathBuf> {
    let mut dirs: Vec<PathBuf> = compiler_directory(target).into_iter().collect();
    let foreign = target != Target::host();
    if foreign {
        dirs.push(Path::new("/usr").join(target.multiarch).join("lib"));
    }
    for base in ["/usr/local/lib", "/lib", "/usr/lib"] {
        dirs.push(Path::new(base).join(target.multiarch));
    }
    if !foreign {
        dirs.extend(
            ["/usr/local/lib64", "/lib64", "/usr/lib64", "/usr/local/lib", "/lib", "/usr/lib"].map(PathBuf::from),
        );
    }
    // Systems with a merged /usr name one directory twice.
    let mut seen = BTreeSet::new();
    dirs.retain(|dir| fs::metadata(dir).is_ok_and(|found| found.is_dir() && seen.insert((found.dev(), found.ino()))));
    dirs
}

/// `/usr/lib/gcc/TRIPLE/VERSION` of the newest compiler of the machine (`gcc-cross` where it is another's): libgcc, libstdc++.
fn compiler_directory(target: &Target) -> Option<PathBuf> {
    let of_machine = |triple: &String| triple.split('-').next() == Some(target.machine);
    let dirs = ["/usr/lib/gcc", "/usr/lib/gcc-cross"].map(Path::new).into_iter();
    dirs.flat_map(|root| entries(root).filter(of_machine).map(|triple| root.join(triple)))
        .flat_map(|dir| entries(&dir).filter_map(|name| Some((version(&name)?, dir.join(name)))).collect::<Vec<_>>())
        .filter(|(_, dir)| dir.join(LIBGCC).is_file())
        .max()
        .map(|(_, dir)| dir)
}

/// The directories of `ld.so.conf` and of the files that it includes (ld.so(8), ldconfig(8)).
fn loader_directories(conf: &Path) -> Vec<PathBuf> {
    const LIMIT: usize = 200;
    let mut dirs = Vec::new();
    let mut files = vec![conf.to_path_buf()];
    let mut read = 0;
    while let Some(file) = files.pop() {
        read += 1;
        let Ok(text) = fs::read_to_string(&file) else { continue };
        if read > LIMIT {
            break;
        }
        for line in text.lines().map(|line| line.split('#').next().unwrap_or("").trim()) {
            if let Some(pattern) = line.strip_prefix("include").filter(|rest| rest.starts_with(char::is_whitespace)) {
                let pattern = Path::new(pattern.trim());
                let suffix = pattern.file_name().and_then(OsStr::to_str).and_then(|name| name.strip_prefix('*'));
                let (Some(suffix), Some(dir)) = (suffix, pattern.parent()) else { continue };
                let mut included: Vec<String> = entries(dir).filter(|name| name.ends_with(suffix)).collect();
                included.sort();
                files.extend(included.iter().rev().map(|name| dir.join(name)));
            } else if line.starts_with('/') {
                dirs.push(PathBuf::from(line));
            }
        }
    }
    dirs
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first bytes of an ELF shared library for `machine`.
    fn shared_library(machine: u16) -> Vec<u8> {
        let mut bytes = b"\x7fELF\x02\x01\x01".to_vec();
        bytes.resize(16, 0);
        bytes.extend(object::elf::ET_DYN.0.to_le_bytes());
        bytes.extend(machine.to_le_bytes());
        bytes.resize(64, 0);
        bytes
    }

    struct Dirs(tempfile::TempDir);

    impl Dirs {
        fn new(files: &[(&str, &[u8])]) -> Self {
            let root = tempfile::tempdir().unwrap();
            for (path, bytes) in files {
                let path = root.path().join(path);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, bytes).unwrap();
            }
            Self(root)
        }

        fn find(&self, name: &str) -> Result<String, InputError> {
            let dirs = ["one", "two"].map(|dir| self.0.path().join(dir));
            let path = SearchPath::only(dirs.to_vec(), &Target::ALL[0]).library(name)?;
            Ok(path.strip_prefix(self.0.path()).unwrap().display().to_string())
        }
    }

    #[test]
    fn the_first_directory_wins_and_in_it_the_shared_library() {
        let so = shared_library(Target::ALL[0].elf_machine);
        let dirs = Dirs::new(&[
            ("one/liba.a", b"!<arch>\n"),
            ("two/liba.so", &so),
            ("two/libb.a", b"!<arch>\n"),
            ("two/libb.so", &so),
            ("two/exact.o", b""),
        ]);
        assert_eq!(dirs.find("a").unwrap(), "one/liba.a");
        assert_eq!(dirs.find("b").unwrap(), "two/libb.so");
        assert_eq!(dirs.find(":libb.a").unwrap(), "two/libb.a");
        assert_eq!(dirs.find(":exact.o").unwrap(), "two/exact.o");
    }

    #[test]
    fn libraries_of_other_machines_are_passed_over() {
        let [ours, other] = [0, 1].map(|i| shared_library(Target::ALL[i].elf_machine));
        let dirs = Dirs::new(&[("one/liba.so", &other), ("two/liba.so", &ours), ("one/libb.so", &other)]);
        assert_eq!(dirs.find("a").unwrap(), "two/liba.so");
        let error = dirs.find("b").unwrap_err();
        assert!(
            error.details().iter().any(|line| line.ends_with("one/libb.so is for another machine")),
            "{:?}",
            error.details()
        );
    }

    #[test]
    fn without_a_development_package_the_loaders_name_is_taken() {
        let so = shared_library(Target::ALL[0].elf_machine);
        let names =
            ["two/libx.so.5", "two/libx.so.6", "two/libx.so.6.0.30", "two/libx.so.6.0.4", "two/libx.so.6-gdb.py"];
        let dirs = Dirs::new(&names.map(|name| (name, so.as_slice())));
        assert_eq!(dirs.find("x").unwrap(), "two/libx.so.6");
    }

    #[test]
    fn a_missing_library_is_explained() {
        let dirs = Dirs::new(&[("one/libcompress.a", b"!<arch>\n"), ("two/libother.so.3", b"")]);
        let error = dirs.find("comprss").unwrap_err();
        assert_eq!(error.to_string(), "cannot find -lcomprss");
        assert_eq!(error.help().unwrap(), "did you mean -lcompress?");
        assert_eq!(error.details()[0], "looked for libcomprss.so, then libcomprss.a");
    }

    #[test]
    fn loader_configuration_is_followed() {
        let dirs =
            Dirs::new(&[("conf.d/b.conf", b"/b\n"), ("conf.d/a.conf", b"# note\n/a # why\n"), ("conf.d/x.txt", b"/x")]);
        let conf = dirs.0.path().join("ld.so.conf");
        fs::write(&conf, format!("/first\ninclude {}/conf.d/*.conf\n", dirs.0.path().display())).unwrap();
        assert_eq!(loader_directories(&conf), ["/first", "/a", "/b"].map(PathBuf::from));
    }
}
