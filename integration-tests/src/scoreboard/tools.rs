//! The programs that the bench needs, found, and installed where that is possible: Debian's packages as root, wild by cargo.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::scoreboard::Result;
use crate::scoreboard::args::Options;
use crate::scoreboard::rivals::ORC;
use crate::scoreboard::shop::{Shop, output, write};

/// What was found. `None` is a rival that this machine does not have; the table says so.
#[derive(Debug)]
pub(crate) struct Tools {
    pub(crate) orc: Result<PathBuf>,
    pub(crate) jitlink: Result<Jitlink>,
    /// In the order of the table: ld, lld, mold, wild.
    pub(crate) linkers: Vec<Linker>,
    pub(crate) tcc: Result<PathBuf>,
    /// The reference linker.
    pub(crate) mini: Result<PathBuf>,
    /// Opens a shared library and calls its `main`.
    pub(crate) dlrun: PathBuf,
    /// The start files and folders of the C compiler.
    pub(crate) start: StartFiles,
}

/// llvm-jitlink and the runtime archive that it needs for initializers and exceptions.
#[derive(Debug, Clone)]
pub(crate) struct Jitlink {
    pub(crate) tool: PathBuf,
    pub(crate) runtime: PathBuf,
    pub(crate) executor: PathBuf,
}

/// A linker that writes files.
#[derive(Debug, Clone)]
pub(crate) struct Linker {
    pub(crate) name: &'static str,
    pub(crate) path: Result<PathBuf>,
}

/// What the compiler driver would put around the objects of a program.
#[derive(Debug, Clone)]
pub(crate) struct StartFiles {
    pub(crate) before: Vec<PathBuf>,
    pub(crate) after: Vec<PathBuf>,
    pub(crate) folders: Vec<PathBuf>,
}

/// A file that must be there, and the Debian package that brings it.
const PACKAGES: &[(&str, &str)] = &[
    ("/usr/bin/gcc", "gcc"),
    ("/usr/bin/g++", "g++"),
    ("/usr/bin/ld", "binutils"),
    ("/usr/bin/dpkg-source", "dpkg-dev"),
    ("/usr/bin/llvm-jitlink-19", "llvm-19"),
    (RUNTIME, "libclang-rt-19-dev"),
    ("/usr/bin/ld.lld-19", "lld-19"),
    ("/usr/bin/mold", "mold"),
    ("/usr/bin/tcc", "tcc"),
    ("/usr/bin/llvm-config-19", "llvm-19-dev"),
    ("/usr/lib/llvm-19/lib/libLLVMCore.a", "llvm-19-dev"),
    ("/usr/lib/x86_64-linux-gnu/libz.so", "zlib1g-dev"),
    ("/usr/lib/x86_64-linux-gnu/libzstd.so", "libzstd-dev"),
];
const RUNTIME: &str = "/usr/lib/llvm-19/lib/clang/19/lib/linux/liborc_rt-x86_64.a";
const WILD: &str = "0.10.0";

pub(crate) fn provide(shop: &Shop, options: &Options) -> Result<Tools> {
    if options.install {
        install_packages()?;
    }
    // It takes minutes to build: only when it is to run.
    let wants_wild = ["so wild", "exe wild"].iter().any(|rival| options.wants_rival(rival));
    let wild = find("wild").or_else(|_| install_wild(shop, options.install && wants_wild));
    Ok(Tools {
        orc: match &options.orc {
            Some(path) => present(path),
            None if ORC.iter().any(|(name, _)| options.wants_rival(name)) => build_orc(shop),
            None => Err("not asked for".to_owned()),
        },
        jitlink: find("llvm-jitlink-19").and_then(|tool| {
            let (runtime, executor) = (present(Path::new(RUNTIME))?, find("llvm-jitlink-executor-19")?);
            Ok(Jitlink { tool, runtime, executor })
        }),
        linkers: vec![
            Linker { name: "ld", path: find("ld.bfd") },
            Linker { name: "lld", path: find("ld.lld-19") },
            Linker { name: "mold", path: find("mold") },
            Linker { name: "wild", path: wild },
        ],
        tcc: find("tcc"),
        mini: reference(shop),
        dlrun: dlrun(shop)?,
        start: start_files()?,
    })
}

fn install_packages() -> Result<()> {
    let mut absent: Vec<_> =
        PACKAGES.iter().filter(|(file, _)| !Path::new(file).exists()).map(|&(_, package)| package).collect();
    absent.dedup();
    if absent.is_empty() {
        return Ok(());
    }
    let root = output(Command::new("id").arg("-u"))?.trim() == "0";
    if !root || !Path::new("/usr/bin/apt-get").exists() {
        eprintln!("not installed, and only root on Debian can: {}", absent.join(" "));
        return Ok(());
    }
    eprintln!("installing {}", absent.join(" "));
    let apt = |words: &[&str]| {
        let mut apt = Command::new("apt-get");
        apt.args(["-q", "-y", "-o", "DPkg::Lock::Timeout=300"]).args(words).env("DEBIAN_FRONTEND", "noninteractive");
        apt
    };
    // One at a time: a package that this release does not have must not keep the others away.
    output(&mut apt(&["update"]))?;
    for package in absent {
        if let Err(message) = output(&mut apt(&["install", "--no-install-recommends", package])) {
            eprintln!("{package}: {message}");
        }
    }
    Ok(())
}

fn install_wild(shop: &Shop, install: bool) -> Result<PathBuf> {
    let root = shop.path("tools");
    let wild = root.join("bin/wild");
    if !wild.exists() {
        if !install {
            return Err("not installed".to_owned());
        }
        eprintln!("building wild {WILD}");
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.args(["install", "wild-linker", "--version", WILD, "--locked", "--root"]).arg(&root);
        output(cargo.arg("--target-dir").arg(root.join("build")))?;
    }
    Ok(wild)
}

fn build_orc(shop: &Shop) -> Result<PathBuf> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--release", "-q", "-p", "orc-jit", "-p", "orc-rt", "--bins", "--manifest-path"]);
    output(cargo.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")))?;
    present(&shop.target().join("release/orc"))
}

fn dlrun(shop: &Shop) -> Result<PathBuf> {
    const SOURCE: &str = include_str!("../../benches/programs/dlrun.c");
    let folder = shop.cached("dlrun", SOURCE, |folder| {
        write(&folder.join("dlrun.c"), SOURCE)?;
        output(Command::new("gcc").args(["-O2", "-o", "dlrun", "dlrun.c"]).current_dir(folder)).map(drop)
    })?;
    Ok(folder.join("dlrun"))
}

/// A linker without dylibs, without errors, of one thread: what the bare work costs.
fn reference(shop: &Shop) -> Result<PathBuf> {
    const SOURCE: &str = include_str!("../../benches/programs/minilink.cpp");
    const FLAGS: &[&str] = &["-O2", "-std=c++20", "-o", "minilink", "minilink.cpp", "-ldl"];
    let folder = shop.cached("minilink", &format!("{FLAGS:?}\n{SOURCE}"), |folder| {
        write(&folder.join("minilink.cpp"), SOURCE)?;
        output(Command::new("g++").args(FLAGS).current_dir(folder)).map(drop)
    })?;
    Ok(folder.join("minilink"))
}

fn start_files() -> Result<StartFiles> {
    let file = |name: &str| {
        output(Command::new("gcc").arg(format!("-print-file-name={name}"))).map(|path| PathBuf::from(path.trim()))
    };
    let before = ["Scrt1.o", "crti.o", "crtbeginS.o"].into_iter().map(file).collect::<Result<Vec<_>>>()?;
    let after = ["crtendS.o", "crtn.o"].into_iter().map(file).collect::<Result<Vec<_>>>()?;
    let mut folders: Vec<_> =
        [&before[0], &before[2]].iter().filter_map(|path| path.parent()).map(Path::to_owned).collect();
    folders.extend(["/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib64", "/usr/lib64"].map(PathBuf::from));
    Ok(StartFiles { before, after, folders })
}

fn present(path: &Path) -> Result<PathBuf> {
    // Children run in other folders than the bench.
    path.canonicalize().map_err(|e| format!("{}: {e}", path.display()))
}

fn find(name: &str) -> Result<PathBuf> {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&folders)
        .map(|folder| folder.join(name))
        .find(|path| path.is_file())
        .ok_or("not installed".to_owned())
}
