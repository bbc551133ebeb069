//! Does real code come out as other linkers have it? Compilers' output in every model, and static libraries, byte by byte.
//!
//! Objects are linked here first; where their sections came to lie goes into a linker script, with which lld or GNU ld links the same
//! objects. What may differ is named: loads of slots that one of the two does without (both forms are decoded, and must lead to the same
//! address), and stubs of indirect functions. Call frame information, which each linker compacts in its own way, is left out.

mod link;
mod machines;
mod patch;

use link::{APART, Compared, Oracle, TINY, compare};
use machines::{AARCH64, LOONGARCH64, RISCV64, Target, X86_64};
use object::read::archive::ArchiveFile;
use std::process::Command;

/// Members of an archive that are linked together.
const TOGETHER: usize = 64;

/// The static libraries of a machine, in order.
fn paths(target: &Target) -> Vec<String> {
    let mut paths: Vec<String> = target.archives.iter().map(|path| (*path).to_owned()).collect();
    for folder in target.folders {
        let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{folder}: {error}"));
        let names = entries.map(|entry| entry.expect("a readable folder").path().display().to_string());
        paths.extend(names.filter(|path| path.ends_with(".a")));
    }
    paths.sort();
    paths
}

/// Links all members of the archives of a machine, and says what was compared.
fn archives(target: &Target) -> Compared {
    let mut all = Compared::default();
    let mut failures = Vec::new();
    for path in paths(target) {
        let data = std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        // Some are linker scripts.
        if !data.starts_with(b"!<arch>\n") {
            continue;
        }
        all.archives += 1;
        let archive = ArchiveFile::parse(&*data).unwrap_or_else(|error| panic!("{path}: {error}"));
        let mut members = Vec::new();
        for member in archive.members() {
            let member = member.expect("a sound archive");
            let bytes = member.data(&*data).expect("a sound archive");
            if bytes.starts_with(b"\x7fELF") {
                members.push((format!("{path}({})", String::from_utf8_lossy(member.name())), bytes));
            }
        }
        for together in members.chunks(TOGETHER) {
            match compare(target, Oracle::Lld, APART, together) {
                Ok(compared) => all += compared,
                // Which of them is it? Names that two members define are another reason.
                Err(_) => {
                    for one in together {
                        match compare(target, Oracle::Lld, APART, std::slice::from_ref(one)) {
                            Ok(compared) => all += compared,
                            Err(error) => failures.push(format!("{}: {error}", one.0)),
                        }
                    }
                }
            }
        }
    }
    assert!(
        failures.is_empty(),
        "{} of {}:\n{}",
        failures.len(),
        all.objects,
        failures[..failures.len().min(40)].join("\n")
    );
    all
}

#[test]
fn static_libraries_of_aarch64_are_linked_as_by_lld() {
    let compared = archives(&AARCH64);
    assert!(compared.archives >= 20 && compared.objects > 2500 && compared.edges > 80_000, "{compared:?}");
}

#[test]
fn static_libraries_of_riscv64_are_linked_as_by_lld() {
    let compared = archives(&RISCV64);
    assert!(compared.archives >= 20 && compared.objects > 2500 && compared.edges > 80_000, "{compared:?}");
}

#[test]
fn static_libraries_of_x86_64_are_linked_as_by_lld() {
    let compared = archives(&X86_64);
    assert!(compared.archives >= 20 && compared.objects > 2500 && compared.edges > 80_000, "{compared:?}");
}

fn compile(compiler: &mut Command, source: &str, language: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().expect("a folder");
    let (input, output) = (folder.path().join("in"), folder.path().join("out.o"));
    std::fs::write(&input, source).expect("a writable folder");
    compiler.args(["-c", "-x", language]).arg(&input).arg("-o").arg(&output);
    let result = compiler.output().unwrap_or_else(|error| panic!("{compiler:?}: {error}"));
    assert!(result.status.success(), "{compiler:?}: {}", String::from_utf8_lossy(&result.stderr));
    std::fs::read(output).expect("it was written")
}

const CODE: &str = include_str!("code.c");
const OTHER: &str = include_str!("other.c");

/// Compiles two files with each of the flags and each compiler, and links them; 0 objects is a mistake.
fn models(target: &Target, oracle: Oracle, flags: &[&str], compilers: &[&str]) -> Compared {
    let mut all = Compared::default();
    for flags in flags {
        for compiler in compilers {
            let objects = [("code.o", CODE), ("other.o", OTHER)].map(|(name, source)| {
                let mut command = Command::new(if *compiler == "clang" { "clang-19" } else { target.gcc });
                if *compiler == "clang" {
                    command.arg(format!("--target={}", target.triple));
                }
                command
                    .args(["-O2", "-ffunction-sections", "-fdata-sections", "-ffreestanding", "-w"])
                    .args(flags.split(' '));
                (name, compile(&mut command, source, "c"))
            });
            let objects: Vec<_> = objects.iter().map(|(name, bytes)| ((*name).to_owned(), &**bytes)).collect();
            let page = if flags.contains("tiny") { TINY } else { APART };
            let compared = compare(target, oracle, page, &objects);
            all += compared.unwrap_or_else(|error| panic!("{compiler} {flags}: {error}"));
        }
    }
    all
}

/// What both compilers take.
const AARCH64_FLAGS: &[&str] = &[
    "-fno-pic",
    "-fPIC",
    "-fpic",
    "-fPIE",
    "-fno-pic -mcmodel=large -ftls-model=local-exec",
    "-fPIC -mbranch-protection=standard",
    "-fPIC -moutline-atomics",
    "-fno-pic -ffixed-x18",
    "-fPIC -ftls-model=global-dynamic",
    "-fPIC -ftls-model=local-dynamic",
    "-fPIC -ftls-model=initial-exec",
    "-fPIE -ftls-model=local-exec",
];

#[test]
fn compilers_output_for_aarch64_is_linked_as_by_lld() {
    let compared = models(&AARCH64, Oracle::Lld, AARCH64_FLAGS, &["gcc", "clang"]);
    assert!(compared.objects == 2 * 2 * AARCH64_FLAGS.len() && compared.relaxed > 0, "{compared:?}");
}

#[test]
fn compilers_output_for_aarch64_is_linked_as_by_gnu_ld() {
    let compared = models(&AARCH64, Oracle::Gnu, AARCH64_FLAGS, &["gcc", "clang"]);
    assert!(compared.objects == 2 * 2 * AARCH64_FLAGS.len(), "{compared:?}");
    // What lld does not know.
    let more = [
        "-fno-pic -mcmodel=large",
        "-fPIC -mtls-dialect=trad",
        "-fPIC -mtls-dialect=trad -mcmodel=tiny",
        "-fpic -mcmodel=tiny",
        "-fno-pic -mcmodel=tiny",
    ];
    let compared = models(&AARCH64, Oracle::Gnu, &more, &["gcc"]);
    assert!(compared.objects == 2 * more.len(), "{compared:?}");
}

#[test]
fn compilers_output_for_loongarch64_is_linked_as_by_lld() {
    // Pairs of slots for general-dynamic code are where each linker likes.
    let flags = [
        "-fno-pic",
        "-fPIE",
        "-fPIC -ftls-model=initial-exec",
        "-fPIC -ftls-model=initial-exec -mcmodel=medium",
        "-fPIE -ftls-model=local-exec",
        "-fno-pic -mno-lsx",
    ];
    let compared = models(&LOONGARCH64, Oracle::Lld, &flags, &["clang"]);
    assert!(compared.objects == 2 * flags.len() && compared.edges > 0, "{compared:?}");
}
