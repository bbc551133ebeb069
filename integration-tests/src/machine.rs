//! Other machines: cases are built by a cross compiler, and both sides run in a user-mode emulator.
//!
//! You give a [`Machine`] of [`Machine::ALL`]; you get a folder of tools under their usual names that make objects for it ([`Machine::tools`], to stand first in
//! `PATH`), the words that run its programs ([`Machine::emulator`]), and its `orc-executor`, which `integration-tests/cross` builds.
//!
//! Not for: building that executor, nor for systems other than Debian, whose cross packages say where things are.

use crate::{Failure, context};
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

/// A machine that is not the one of these tests.
#[derive(Debug, PartialEq, Eq)]
pub struct Machine {
    /// As trials and messages name it, and the emulator behind `qemu-`.
    pub name: &'static str,
    /// What its tools and its folders begin with.
    pub multiarch: &'static str,
    /// What rustc calls it.
    pub triple: &'static str,
    /// Data of its shared libraries can move below 2 GiB, for code that names it in 32 bits. Where a library's symbol table lies on the pages of its code, it
    /// cannot: the table would have to be written.
    pub data_moves: bool,
}

impl Machine {
    /// Those that cases are run on.
    pub const ALL: [Self; 2] = [
        Self { name: "aarch64", multiarch: "aarch64-linux-gnu", triple: "aarch64-unknown-linux-gnu", data_moves: true },
        Self {
            name: "riscv64",
            multiarch: "riscv64-linux-gnu",
            triple: "riscv64gc-unknown-linux-gnu",
            data_moves: false,
        },
    ];

    /// The words that stand before a program's. It finds libraries in `folders` before those of its system. (Without the latter in the path, too, the emulated loader would take this system's.)
    #[must_use]
    pub fn emulator(&self, folders: &[&Path]) -> Vec<OsString> {
        let system = PathBuf::from("/usr").join(self.multiarch);
        let mut path = OsString::from("LD_LIBRARY_PATH=");
        for folder in folders {
            path.push(folder);
            path.push(":");
        }
        path.push(system.join("lib"));
        vec![format!("qemu-{}", self.name).into(), "-L".into(), system.into(), "-E".into(), path]
    }

    /// Its `orc-executor`, below cargo's target folder.
    #[must_use]
    pub fn executor(&self, target: &Path) -> PathBuf {
        target.join("cross").join(self.triple).join("debug/orc-executor")
    }

    /// A folder with compilers and binary tools for this machine under the names that they usually have, made in `folder` if it is not there.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn tools(&self, folder: &Path) -> Result<PathBuf, Failure> {
        let tools = folder.join("tools");
        if tools.exists() {
            return Ok(tools);
        }
        // In one piece, for trials that run at the same time, also in several tests.
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let unfinished = folder.join(format!("tools-{}-{number}", std::process::id()));
        fs::create_dir_all(&unfinished).map_err(context(unfinished.display()))?;
        for tool in ["gcc", "g++", "ar", "ld", "nm", "objcopy", "objdump", "readelf", "strip"] {
            let path = unfinished.join(tool);
            symlink(format!("/usr/bin/{}-{tool}", self.multiarch), &path).map_err(context(path.display()))?;
        }
        for tool in ["clang-19", "clang++-19"] {
            let path = unfinished.join(tool);
            let script = format!("#!/bin/sh\nexec /usr/bin/{tool} --target={} \"$@\"\n", self.multiarch);
            fs::write(&path, script).map_err(context(path.display()))?;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).map_err(context(path.display()))?;
        }
        match fs::rename(&unfinished, &tools) {
            Err(_) if tools.exists() => fs::remove_dir_all(&unfinished).map_err(context(unfinished.display()))?,
            renamed => renamed.map_err(context(tools.display()))?,
        }
        Ok(tools)
    }
}

#[cfg(test)]
mod tests {
    use super::Machine;
    use std::path::Path;

    #[test]
    fn programs_find_their_own_libraries_first_and_never_this_systems() {
        let [aarch64, _] = Machine::ALL;
        let words: Vec<_> =
            aarch64.emulator(&[Path::new("/t/so")]).into_iter().map(|word| word.into_string().unwrap()).collect();
        let expected =
            ["qemu-aarch64", "-L", "/usr/aarch64-linux-gnu", "-E", "LD_LIBRARY_PATH=/t/so:/usr/aarch64-linux-gnu/lib"];
        assert_eq!(words, expected);
    }
}
