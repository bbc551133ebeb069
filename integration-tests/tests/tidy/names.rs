//! Which folder may name machines, formats and hosts.

use super::tree::{Source, has_word, sources};
use crate::refuse;

/// How relocation types of some format and machine begin.
const RELOCATIONS: [&str; 10] = [
    "R_X86_64_",
    "R_386_",
    "R_AARCH64_",
    "R_ARM_",
    "R_RISCV_",
    "R_PPC64_",
    "R_LARCH_",
    "X86_64_RELOC_",
    "ARM64_RELOC_",
    "IMAGE_REL_",
];

/// Where relocation types are named besides `jitlink/src/reloc/`.
const NAMED: [(&str, &str); 3] = [
    ("jitlink/tests/", "their question is what each type does"),
    ("jitlink/src/lib.rs", "the example writes its own object files"),
    ("orc-rt/src/memory.rs", "tells users which code needs addresses below 2 GiB"),
];

fn names_a_relocation(text: &str) -> bool {
    RELOCATIONS.iter().any(|prefix| text.contains(prefix))
}

#[test]
fn relocation_types_are_named_in_reloc_only() {
    let sources = sources();
    let mut breaches = Vec::new();
    let free = |source: &Source| {
        source.path.starts_with("jitlink/src/reloc/") || source.path.starts_with("integration-tests/")
    };
    for source in sources.iter().filter(|source| !free(source)) {
        if NAMED.iter().any(|(path, _)| source.path.starts_with(path)) {
            continue;
        }
        let lines = source.numbered().filter(|(_, line)| names_a_relocation(&line.text));
        breaches.extend(lines.map(|(number, line)| format!("{}:{number}: {}", source.path, line.text.trim())));
    }
    for (path, _) in NAMED {
        let mut of_path =
            sources.iter().filter(|source| source.path.starts_with(path)).flat_map(|source| &source.lines);
        if !of_path.any(|line| names_a_relocation(&line.text)) {
            breaches.push(format!("{path}: listed without need"));
        }
    }
    refuse("format and machine meet in `jitlink/src/reloc/`: relocation types have no name elsewhere", breaches);
}

/// The words of an identifier: `elf_machine` and `ElfMachine` have the same.
fn words(code: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut before = ' ';
    for c in code.chars() {
        let starts = !c.is_alphanumeric() || c.is_uppercase() && before.is_lowercase();
        if starts {
            words.push(String::new());
        }
        if c.is_alphanumeric() {
            words.last_mut().expect("one at least").extend(c.to_lowercase());
        }
        before = c;
    }
    words
}

#[test]
fn machines_and_passes_know_no_format() {
    let mut breaches = Vec::new();
    for source in sources() {
        if !["jitlink/src/arch/", "jitlink/src/pass/"].iter().any(|folder| source.path.starts_with(folder)) {
            continue;
        }
        for (number, line) in source.numbered() {
            let words = words(&line.code);
            let format = |word: &String| ["elf", "macho", "coff", "dwarf64", "pe"].contains(&word.as_str());
            if words.iter().any(format) || words.windows(2).any(|pair| pair == ["mach", "o"]) {
                breaches.push(format!("{}:{number}: {}", source.path, line.text.trim()));
            }
        }
    }
    refuse("`arch/` and `pass/` work for every format and name none", breaches);
}

#[test]
fn readers_and_passes_know_no_machine() {
    let mut breaches = Vec::new();
    for source in sources() {
        let folders = ["jitlink/src/object/", "jitlink/src/pass/", "jitlink/src/graph/"];
        if source.is_test() || !folders.iter().any(|folder| source.path.starts_with(folder)) {
            continue;
        }
        for (number, line) in source.shipped() {
            if ["x86_64", "aarch64", "riscv64"].iter().any(|machine| has_word(&line.code, machine)) {
                breaches.push(format!("{}:{number}: {}", source.path, line.text.trim()));
            }
        }
    }
    refuse("a machine is data: code outside of `arch/` and `reloc/` names none", breaches);
}

#[test]
fn the_linker_never_asks_where_it_runs() {
    let mut breaches = Vec::new();
    for source in sources().iter().filter(|source| source.path.starts_with("jitlink/src/")) {
        let asks = ["target_arch", "target_os", "target_pointer_width", "target_endian", "cfg(unix", "cfg(windows"];
        let lines = source.numbered().filter(|(_, line)| asks.iter().any(|ask| line.code.contains(ask)));
        breaches.extend(lines.map(|(number, line)| format!("{}:{number}: {}", source.path, line.text.trim())));
    }
    refuse("any host links for any machine: jitlink has no `cfg` of machine or system", breaches);
}

#[test]
fn words_of_identifiers_are_found() {
    assert_eq!(words("read_elf(ElfHeader)").join(" "), "read elf elf header ");
    assert!(words("self.shelf").iter().all(|word| word != "elf"));
}
