//! W6: a compiler: parses IR, optimizes it and generates x86-64 code, against LLVM's static archives (Debian's llvm-19-dev).

use std::path::PathBuf;
use std::process::Command;

use super::{LIBM, LIBSTDCXX, LIBZ, LIBZSTD, Workload};
use crate::scoreboard::Result;
use crate::scoreboard::shop::{Shop, output, write};

const SOURCE: &str = include_str!("../../../benches/programs/llvm_tool.cpp");
const JITLINK_TLS: &str = include_str!("../../../benches/programs/jitlink_tls.cpp");
/// The members with local-dynamic thread-local storage: llvm-jitlink 19 refuses them, and takes them from the libLLVM that it runs on.
const LOCAL_DYNAMIC: &[&str] = &["CrashRecoveryContext.cpp.o", "PrettyStackTrace.cpp.o", "TimeProfiler.cpp.o"];
const COMPONENTS: &[&str] = &["core", "irreader", "passes", "x86"];

pub(super) fn make(shop: &Shop) -> Result<Workload> {
    let config = |words: &[&str]| output(Command::new("llvm-config-19").args(words));
    let version = config(&["--version"]).map_err(|e| format!("needs Debian's llvm-19-dev: {e}"))?;
    let flags = config(&["--cxxflags"])?;
    let told = config(&[&["--link-static", "--libfiles"], COMPONENTS].concat())?;
    let archives: Vec<_> = told.split_whitespace().map(PathBuf::from).collect();
    let support = |path: &PathBuf| path.file_name().is_some_and(|name| name == "libLLVMSupport.a");
    let recipe = format!("{version}{flags}{SOURCE}{JITLINK_TLS}{LOCAL_DYNAMIC:?}");
    let folder = shop.cached("W6", &recipe, |folder| {
        write(&folder.join("llvm_tool.cpp"), SOURCE)?;
        write(&folder.join("jitlink_tls.cpp"), JITLINK_TLS)?;
        let mut gcc = Command::new("g++");
        gcc.args(flags.split_whitespace()).args(["-O2", "-fPIC", "-c", "llvm_tool.cpp", "jitlink_tls.cpp"]);
        output(gcc.current_dir(folder))?;
        let original = archives.iter().find(|path| support(path)).ok_or("no libLLVMSupport.a")?;
        let reduced = folder.join("libLLVMSupport.a");
        std::fs::copy(original, &reduced).map_err(|e| format!("{}: {e}", original.display()))?;
        output(Command::new("ar").arg("d").arg(&reduced).args(LOCAL_DYNAMIC)).map(drop)
    })?;
    let mut for_jitlink = vec![folder.join("jitlink_tls.o"), folder.join("llvm_tool.o")];
    let reduced = |path: &PathBuf| {
        if support(path) { folder.join("libLLVMSupport.a") } else { path.clone() }
    };
    for_jitlink.extend(archives.iter().map(reduced));
    Ok(Workload {
        name: "W6",
        what: "LLVM tool: IR to x86-64",
        objects: vec![folder.join("llvm_tool.o")],
        inputs_for_jitlink: Some(for_jitlink),
        dylibs: None,
        archives,
        libraries: &[LIBSTDCXX, LIBM, LIBZ, LIBZSTD],
        args: Vec::new(),
        stdin: None,
        expected: None,
        floor: None,
    })
}
