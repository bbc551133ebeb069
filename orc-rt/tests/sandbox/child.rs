//! What cases have in common: their form, their folder, and system calls by number.

use orc_rt::sandbox::Sandbox;
use std::fmt::Debug;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};

/// One question, asked by a process of its own.
pub(crate) struct Case {
    pub(crate) question: &'static str,
    /// Enters the sandbox, tries, and asserts.
    pub(crate) play: fn(&Place),
    pub(crate) ends: Ends,
    /// Whether it is about root, or about others; `None` for everybody.
    pub(crate) only_as_root: Option<bool>,
}

/// How a case ends.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Ends {
    Well,
    By(i32),
}

impl Case {
    pub(crate) const fn new(question: &'static str, play: fn(&Place)) -> Self {
        Self { question, play, ends: Ends::Well, only_as_root: None }
    }

    pub(crate) const fn by(self, signal: i32) -> Self {
        Self { ends: Ends::By(signal), ..self }
    }

    pub(crate) const fn for_root(self, root: bool) -> Self {
        Self { only_as_root: Some(root), ..self }
    }
}

/// A folder with something to read, something to write, and a secret.
pub(crate) struct Place {
    root: PathBuf,
}

impl Place {
    pub(crate) fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    pub(crate) fn at(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    /// Makes the folder's contents, for `owner`.
    pub(crate) fn furnish(&self, owner: Option<u32>) -> io::Result<()> {
        for folder in ["read", "open", "open/below", "secret"] {
            fs::create_dir(self.at(folder))?;
        }
        for file in ["read/text", "open/text", "secret/text", "alone"] {
            fs::write(self.at(file), file)?;
        }
        std::os::unix::fs::symlink("../secret/text", self.at("open/link"))?;
        if owner.is_some() {
            for path in ["", "read", "open", "open/below", "secret", "read/text", "open/text", "secret/text", "alone"] {
                chown(self.at(path), owner, owner)?;
            }
        }
        Ok(())
    }

    /// The sandbox of most cases.
    pub(crate) fn sandbox(&self) -> Sandbox {
        Sandbox::new().allow_read(self.at("read")).allow_write(self.at("open"))
    }

    /// Enters it.
    pub(crate) fn enter(&self) {
        enter(&self.sandbox());
    }
}

/// Enters `sandbox`, which the system must give whole.
#[track_caller]
pub(crate) fn enter(sandbox: &Sandbox) {
    let entered = sandbox.enter().unwrap_or_else(|error| panic!("not entered: {error}"));
    assert_eq!(entered.not_enforced(), []);
}

/// The number of the error.
#[track_caller]
pub(crate) fn errno<T: Debug>(result: io::Result<T>) -> i32 {
    match result {
        Ok(value) => panic!("it worked: {value:?}"),
        Err(error) => error.raw_os_error().unwrap_or_else(|| panic!("an error of ours: {error}")),
    }
}

/// Asserts that something is denied with `expected`.
#[track_caller]
pub(crate) fn denied<T: Debug>(what: &str, result: io::Result<T>, expected: &[i32]) {
    match result {
        Ok(value) => panic!("{what}: it worked: {value:?}"),
        Err(error) => assert!(error.raw_os_error().is_some_and(|errno| expected.contains(&errno)), "{what}: {error}"),
    }
}

/// A system call by its number.
pub(crate) fn call(number: i64, arguments: &[usize]) -> io::Result<i64> {
    let mut six = [0; 6];
    six[..arguments.len()].copy_from_slice(arguments);
    let [a, b, c, d, e, f] = six;
    // SAFETY: the tests pass numbers, null pointers and addresses of constants; what is asked for is denied, or harmless to this process.
    let result = unsafe { libc::syscall(number, a, b, c, d, e, f) };
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Ends this process if it still runs after so many seconds.
pub(crate) fn end_after(seconds: u32) {
    // SAFETY: a number is passed.
    unsafe { libc::alarm(seconds) };
}

/// Writes to standard output, which the test looks at.
pub(crate) fn say(text: &str) {
    io::stdout().write_all(text.as_bytes()).expect("standard output");
}
