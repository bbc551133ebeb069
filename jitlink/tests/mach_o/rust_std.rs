//! Is real code of this format linked as LLVM's linker links it? Rust's core, alloc and std for macOS, which rustup has for every host, and no package of a system:
//! `rustup target add x86_64-apple-darwin aarch64-apple-darwin && cargo test -p jitlink --test mach_o -- --ignored`.

use super::lld_equality::compare;
use super::support::{ARM64, X86_64, clang};
use jitlink::arch::Machine;
use object::read::archive::ArchiveFile;
use std::path::Path;
use std::process::Command;

/// The objects of a library: all of them.
fn members(folder: &Path, library: &str, into: &mut Vec<Vec<u8>>) {
    let entries = std::fs::read_dir(folder)
        .unwrap_or_else(|error| panic!("{}: {error}: rustup target add is needed for this test", folder.display()));
    let mut paths = entries.map(|entry| entry.expect("a readable folder").path());
    let name = |path: &Path| path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
    let is =
        |path: &std::path::PathBuf| name(path).starts_with(&format!("lib{library}-")) && name(path).ends_with(".rlib");
    let path = paths.find(is).unwrap_or_else(|| panic!("{} has no {library}", folder.display()));
    let data = std::fs::read(&path).expect("a readable library");
    let archive = ArchiveFile::parse(&*data).expect("a sound archive");
    for member in archive.members() {
        let bytes = member.expect("a sound archive").data(&*data).expect("a sound archive");
        if bytes.starts_with(&0xfeed_facf_u32.to_le_bytes()) {
            into.push(bytes.to_vec());
        }
    }
}

fn check(machine: &'static Machine, arch: &str, triple: &str) {
    let sysroot = Command::new("rustc").args(["--print", "sysroot"]).output().expect("rustc is there");
    let sysroot = String::from_utf8(sysroot.stdout).expect("a path");
    let folder = Path::new(sysroot.trim()).join("lib/rustlib").join(triple).join("lib");
    let mut objects = vec![clang(arch, "c", &["-O1"], "int main(void) { return 0; }")];
    for library in
        ["core", "alloc", "std", "compiler_builtins", "panic_unwind", "hashbrown", "gimli", "addr2line", "miniz_oxide"]
    {
        members(&folder, library, &mut objects);
    }
    assert!(objects.len() > 20, "{} objects", objects.len());
    let rows = compare(machine, arch, &objects, &["-undefined", "dynamic_lookup"]);
    assert!(rows.values().sum::<usize>() > 800, "{rows:?}");
}

#[test]
#[ignore = "needs what rustup loads: rustup target add x86_64-apple-darwin aarch64-apple-darwin"]
fn rusts_standard_library_for_x86_64_is_linked_as_by_lld() {
    check(X86_64, "x86_64", "x86_64-apple-darwin");
}

#[test]
#[ignore = "needs what rustup loads: rustup target add x86_64-apple-darwin aarch64-apple-darwin"]
fn rusts_standard_library_for_arm64_is_linked_as_by_lld() {
    check(ARM64, "arm64", "aarch64-apple-darwin");
}
