//! W4 and W7: cppcheck, 71 C++ units with many COMDAT groups and exceptions: optimized, and as a debug build (`-O0 -g`), where three times
//! as many functions call each other and eight ninths of the bytes are debug sections that nobody asked for.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use super::{LIBM, LIBSTDCXX, Workload};
use crate::scoreboard::Result;
use crate::scoreboard::shop::{Shop, files, output, write};

const CHECKED: &str = include_str!("../../../benches/programs/checked.cpp");
const FLAGS: &[&str] = &[
    "-fPIC",
    "-std=c++11",
    "-w",
    "-DNDEBUG",
    // One variable in one unit, of local-dynamic storage, which llvm-jitlink 19 refuses; the program runs one thread.
    "-Dthread_local=",
    "-c",
];
const UNITS: &[&str] = &["cli", "lib", "externals/simplecpp", "externals/tinyxml2"];

pub(super) fn make(shop: &Shop) -> Result<Workload> {
    workload(shop, "W4", "cppcheck: 71 C++ units", &["-O2"])
}

pub(super) fn make_debug(shop: &Shop) -> Result<Workload> {
    workload(shop, "W7", "cppcheck, debug build", &["-O0", "-g"])
}

fn workload(shop: &Shop, name: &'static str, what: &'static str, optimization: &[&str]) -> Result<Workload> {
    let source = source(shop)?;
    let recipe = format!("{} {FLAGS:?} {optimization:?}\n{CHECKED}", source.display());
    let folder = shop.cached(name, &recipe, |folder| {
        write(&folder.join("checked.cpp"), CHECKED)?;
        let mut units = Vec::new();
        for part in UNITS {
            units.extend(files(&source.join(part), &["cpp"])?);
        }
        let compile = |unit: PathBuf| {
            let mut gcc = Command::new("g++");
            // cppcheck looks for its cfg/ files where it was told to when it was compiled.
            gcc.args(FLAGS).args(optimization).arg(format!("-DFILESDIR=\"{}\"", source.display()));
            for include in ["lib", "externals", "externals/simplecpp", "externals/tinyxml2", "externals/picojson"] {
                gcc.arg("-I").arg(source.join(include));
            }
            gcc.arg(unit).current_dir(folder);
            gcc
        };
        shop.all(units.into_iter().map(compile).collect())
    })?;
    let checked = folder.join("checked.cpp").display().to_string();
    Ok(Workload {
        name,
        what,
        objects: files(&folder, &["o"])?,
        archives: Vec::new(),
        inputs_for_jitlink: None,
        dylibs: None,
        libraries: &[LIBSTDCXX, LIBM],
        // Findings go to standard error unless told otherwise; here they are what rivals are compared by.
        args: ["--quiet", "--enable=all", "--inconclusive", "--output-file=/dev/stdout", &checked]
            .map(str::to_owned)
            .to_vec(),
        stdin: None,
        expected: None,
        floor: None,
    })
}

/// Debian's source package, through an apt of our own: the system's lists and sources stay as they are.
fn source(shop: &Shop) -> Result<PathBuf> {
    const SOURCES: &str = "deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian bookworm main\n";
    let folder = shop.cached("cppcheck", SOURCES, |folder| {
        write(&folder.join("sources.list"), SOURCES)?;
        for part in ["lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(folder.join(part)).map_err(|e| format!("{}: {e}", folder.display()))?;
        }
        let apt = |words: &[&str]| {
            let mut apt = Command::new("apt-get");
            for (key, value) in
                [("Dir::Etc::sourcelist", "sources.list"), ("Dir::State::Lists", "lists"), ("Dir::Cache", "cache")]
            {
                apt.arg("-o").arg(format!("{key}={}", folder.join(value).display()));
            }
            apt.args(["-q", "-o", "Dir::Etc::sourceparts=-", "-o", "APT::Sandbox::User="])
                .args(words)
                .current_dir(folder);
            apt
        };
        output(&mut apt(&["update"]))?;
        output(&mut apt(&["source", "--download-only", "cppcheck"]))?;
        let described = files(folder, &["dsc"])?;
        let described = described.first().ok_or("apt-get source brought no .dsc file")?;
        output(Command::new("dpkg-source").arg("--extract").arg(described).arg("source").current_dir(folder)).map(drop)
    })?;
    Ok(folder.join("source"))
}
