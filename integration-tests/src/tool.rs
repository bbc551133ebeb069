//! The programs that the cases need, and the Debian package of each: a missing one is an error, never a skipped trial.

use crate::Failure;
use std::io;

/// Program, Debian package.
const PACKAGES: &[(&str, &str)] = &[
    ("gcc", "gcc"),
    ("g++", "g++"),
    ("ar", "binutils"),
    ("ld", "binutils"),
    ("objcopy", "binutils"),
    ("strip", "binutils"),
    ("nm", "binutils"),
    ("addr2line", "binutils"),
    ("gdb", "gdb"),
    ("llvm-dwarfdump-19", "llvm-19"),
    ("perf", "linux-perf"),
    ("valgrind", "valgrind"),
    ("clang-19", "clang-19"),
    ("clang++-19", "clang-19"),
    ("llvm-ar-19", "llvm-19"),
    ("llvm-jitlink-19", "llvm-19"),
    ("ld.lld-19", "lld-19"),
    ("mold", "mold"),
    ("tcc", "tcc"),
    ("sh", "dash"),
    ("prlimit", "util-linux"),
    ("script", "bsdutils"),
];

/// What to say when `program` could not be started.
pub fn cannot_start(program: &str, error: &io::Error) -> Failure {
    if error.kind() != io::ErrorKind::NotFound {
        return format!("{program}: {error}");
    }
    match PACKAGES.iter().find(|(name, _)| *name == program) {
        Some((_, package)) => format!("{program} is not installed: apt-get install {package}"),
        None if program == "rustc" || program == "cargo" => {
            format!("{program} is not in PATH: it comes with the Rust toolchain")
        }
        None => format!("{program} is not installed"),
    }
}

/// What to add when a shell command ended with 127, "not found".
pub fn hint(command: &str) -> String {
    let mut packages: Vec<_> = PACKAGES
        .iter()
        .filter(|(name, _)| command.split_whitespace().any(|word| word == *name))
        .map(|(_, package)| *package)
        .collect();
    packages.dedup();
    if packages.is_empty() { String::new() } else { format!("; install: apt-get install {}", packages.join(" ")) }
}
