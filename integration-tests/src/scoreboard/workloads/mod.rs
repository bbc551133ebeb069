//! What is linked and run. Every workload is position independent code, so that a rival may make a shared library of it.

mod cppcheck;
mod generated;
pub(super) mod growth;
mod llvm_tool;
mod lua;
mod objects;
mod rust_std;
mod sources;
mod sqlite;
mod tiny;

use std::path::PathBuf;

use crate::scoreboard::Result;
use crate::scoreboard::args::Options;
use crate::scoreboard::board::Table;
use crate::scoreboard::shop::Shop;

/// Objects, and how the program that they make is run.
#[derive(Debug, Clone)]
pub struct Workload {
    /// `W2`; the handle on the command line and in the tables.
    pub name: &'static str,
    /// What it is, in a few words.
    pub what: &'static str,
    /// Linked whole, in this order.
    pub objects: Vec<PathBuf>,
    /// Searched for what is missing.
    pub archives: Vec<PathBuf>,
    /// What llvm-jitlink 19 is given instead of both, where it would refuse some of them.
    pub inputs_for_jitlink: Option<Vec<PathBuf>>,
    /// A response file in place of all of these: `main` in a dylib that needs many others. Only orc knows dylibs.
    pub dylibs: Option<PathBuf>,
    /// Shared libraries that the program needs besides libc.
    pub libraries: &'static [Library],
    /// The program's arguments, without its name.
    pub args: Vec<String>,
    /// The program's standard input.
    pub stdin: Option<PathBuf>,
    /// What it prints, where that is known without running it.
    pub expected: Option<Vec<u8>>,
    /// What its floor is measured from, once that is made.
    pub floor: Option<PathBuf>,
}

/// A shared library, as a linker and as `dlopen` name it.
#[derive(Debug, Clone, Copy)]
pub struct Library {
    /// The `NAME` of `-lNAME`.
    pub link: &'static str,
    /// What the dynamic loader looks for.
    pub soname: &'static str,
}

pub(crate) const LIBM: Library = Library { link: "m", soname: "libm.so.6" };
pub(crate) const LIBSTDCXX: Library = Library { link: "stdc++", soname: "libstdc++.so.6" };
pub(crate) const LIBGCC: Library = Library { link: "gcc_s", soname: "libgcc_s.so.1" };
pub(crate) const LIBZ: Library = Library { link: "z", soname: "libz.so.1" };
pub(crate) const LIBZSTD: Library = Library { link: "zstd", soname: "libzstd.so.1" };

/// A workload, or why this machine could not build it.
#[derive(Debug)]
pub struct Entry {
    /// The table that it stands in.
    pub table: Table,
    /// `W2`; of growth, what grows.
    pub name: &'static str,
    /// Of growth, how many of them.
    pub size: Option<u64>,
    /// The workload.
    pub workload: Result<Workload>,
}

type Maker = fn(&Shop) -> Result<Workload>;

const PROGRAMS: &[(&str, Maker)] = &[
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
pub fn build(shop: &Shop, options: &Options) -> Vec<Entry> {
    let program = |name: &str| options.wants_program(name) && (options.full || name != "W5-100k");
    let programs = PROGRAMS.iter().filter(|(name, _)| program(name)).map(|&(name, make)| Entry {
        table: Table::Programs,
        name,
        size: None,
        workload: make(shop),
    });
    let growing = growth::FAMILIES.iter().flat_map(|family| family.sizes.iter().map(move |&size| (family, size)));
    let growing =
        growing.filter(|(family, size)| options.wants_growth(family.name, *size)).map(|(family, size)| Entry {
            table: Table::Growth,
            name: family.name,
            size: Some(size as u64),
            workload: growth::make(shop, family, size),
        });
    let told = |entry: &Entry| {
        if let Err(message) = &entry.workload {
            eprintln!("{} is not built: {message}", entry.title());
        }
    };
    programs.chain(growing).inspect(told).collect()
}

impl Entry {
    /// As messages name it.
    pub fn title(&self) -> String {
        self.size.map_or_else(|| self.name.to_owned(), |size| format!("{} {size}", self.name))
    }
}
