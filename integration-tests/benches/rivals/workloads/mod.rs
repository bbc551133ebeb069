//! What is linked and run. Every workload is position independent code, so that a rival may make a shared library of it.

mod cppcheck;
mod generated;
mod llvm_tool;
mod lua;
mod rust_std;
mod sources;
mod sqlite;
mod tiny;

use std::path::PathBuf;

use crate::Result;
use crate::args::Options;
use crate::shop::Shop;

/// Objects, and how the program that they make is run.
#[derive(Debug, Clone)]
pub(crate) struct Workload {
    /// `W2`; the handle on the command line and in the tables.
    pub(crate) name: &'static str,
    /// What it is, in a few words.
    pub(crate) what: &'static str,
    /// Linked whole, in this order.
    pub(crate) objects: Vec<PathBuf>,
    /// Searched for what is missing.
    pub(crate) archives: Vec<PathBuf>,
    /// What llvm-jitlink 19 is given instead of both, where it would refuse some of them.
    pub(crate) inputs_for_jitlink: Option<Vec<PathBuf>>,
    /// Shared libraries that the program needs besides libc.
    pub(crate) libraries: &'static [Library],
    /// The program's arguments, without its name.
    pub(crate) args: Vec<String>,
    /// The program's standard input.
    pub(crate) stdin: Option<PathBuf>,
}

/// A shared library, as a linker and as `dlopen` name it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Library {
    /// The `NAME` of `-lNAME`.
    pub(crate) link: &'static str,
    /// What the dynamic loader looks for.
    pub(crate) soname: &'static str,
}

pub(crate) const LIBM: Library = Library { link: "m", soname: "libm.so.6" };
pub(crate) const LIBSTDCXX: Library = Library { link: "stdc++", soname: "libstdc++.so.6" };
pub(crate) const LIBGCC: Library = Library { link: "gcc_s", soname: "libgcc_s.so.1" };
pub(crate) const LIBZ: Library = Library { link: "z", soname: "libz.so.1" };
pub(crate) const LIBZSTD: Library = Library { link: "zstd", soname: "libzstd.so.1" };

/// A workload, or why this machine could not build it.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) name: &'static str,
    pub(crate) workload: Result<Workload>,
}

type Maker = fn(&Shop) -> Result<Workload>;

const WORKLOADS: &[(&str, Maker)] = &[
    ("W1", tiny::make),
    ("W2", sqlite::make),
    ("W3", lua::make),
    ("W4", cppcheck::make),
    ("W5-1k", generated::make_1k),
    ("W5-10k", generated::make_10k),
    ("W5-100k", generated::make_100k),
    ("W6", llvm_tool::make),
    ("W7", cppcheck::make_debug),
    ("W8", rust_std::make),
];

/// Makes what was asked for; what cannot be made is an entry that says why.
pub(crate) fn build(shop: &Shop, options: &Options) -> Vec<Entry> {
    WORKLOADS
        .iter()
        .filter(|(name, _)| options.wants_workload(name) && (options.full || *name != "W5-100k"))
        .map(|&(name, make)| Entry { name, workload: make(shop) })
        .inspect(|entry| {
            if let Err(message) = &entry.workload {
                eprintln!("{} is not built: {message}", entry.name);
            }
        })
        .collect()
}
