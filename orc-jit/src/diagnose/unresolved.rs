//! Symbols that nobody defines: who refers to them, and what was probably meant.

use super::demangle::{cpp_base_name, is_cpp};
use super::{Nearest, Reference, Report, demangle, libraries};
use hashbrown::HashMap;

/// A symbol that somebody needs and nobody defines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unresolved {
    /// Its name, as objects spell it.
    pub name: String,
    /// Who refers to it: a few places are enough.
    pub references: Vec<Reference>,
    /// How many places refer to it.
    pub reference_count: usize,
}

/// A name that is defined somewhere, though it did not serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known<'a> {
    /// Its name, as objects spell it.
    pub name: &'a str,
    /// The object, archive member, library or dylib that defines it.
    pub place: &'a str,
    /// Why it did not serve, if it has the wanted name.
    pub kind: KnownKind,
}

/// How a known name can be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KnownKind {
    /// It is visible: it only has another name.
    Exported,
    /// Hidden or local: its place keeps it for itself.
    Hidden,
    /// In a member of an archive that was not loaded.
    Unloaded,
    /// In a dylib that is not in the link order of the one that asks; [`Known::place`] is the name of the dylib.
    OutOfReach,
    /// A function that is called by another convention than the one that is wanted.
    OtherConvention,
}

/// With more unresolved symbols than this, something is wrong that no respelling mends: names are no longer compared.
const COMPARED: usize = 64;

/// One report for each symbol, in their order, with what was probably meant.
#[must_use]
pub fn undefined(unresolved: &[Unresolved], known: &[Known<'_>]) -> Vec<Report> {
    let mut reports: Vec<Report> = unresolved.iter().map(bare_report).collect();
    let hinted = hint_by_name(unresolved, known, &mut reports);
    let other_builds =
        if unresolved.iter().any(|one| is_rust(&one.name)) { rust_names(known) } else { HashMap::default() };
    for (index, symbol) in unresolved.iter().enumerate() {
        let report = &mut reports[index];
        if hinted[index] {
            continue;
        }
        let other = is_rust(&symbol.name).then(|| other_builds.get(&*demangle(&symbol.name))).flatten();
        if let Some(place) = other {
            report
                .notes
                .push(format!("{place} defines it, as compiled by another rustc or from another version of its crate"));
            report.help.push("take the rlibs that the object was compiled against: those of the same toolchain".into());
        } else if let Some(advice) = libraries::advice(&symbol.name) {
            report.help.push(advice.into());
        } else if index < COMPARED
            && let Some(near) = nearest_known(&symbol.name, known)
        {
            report.help.push(format!("did you mean `{}` (defined in {})?", demangle(near.name), near.place));
        }
    }
    reports
}

/// Whether a name is mangled as Rust does it (v0), with hashes that differ by toolchain and version.
fn is_rust(name: &str) -> bool {
    name.starts_with("_R")
}

/// Where each Rust name is defined, without its hashes.
fn rust_names<'a>(known: &[Known<'a>]) -> HashMap<String, &'a str, foldhash::fast::RandomState> {
    let rust = known.iter().filter(|known| is_rust(known.name));
    rust.map(|known| (demangle(known.name).into_owned(), known.place)).collect()
}

fn bare_report(symbol: &Unresolved) -> Report {
    Report {
        symbol: Some(symbol.name.clone()),
        references: symbol.references.clone(),
        reference_count: symbol.reference_count.max(symbol.references.len()),
        ..Report::error(format!("undefined symbol: {}", demangle(&symbol.name)))
    }
}

/// The name itself exists, or does so in the other language, or with other parameters. One pass over `known`.
fn hint_by_name(unresolved: &[Unresolved], known: &[Known<'_>], reports: &mut [Report]) -> Vec<bool> {
    let mut hinted = vec![false; unresolved.len()];
    let mut by_name: HashMap<&str, usize, foldhash::fast::RandomState> = HashMap::default();
    let mut by_base: HashMap<&str, Vec<usize>, foldhash::fast::RandomState> = HashMap::default();
    for (index, symbol) in unresolved.iter().enumerate() {
        by_name.insert(&symbol.name, index);
        let base = cpp_base_name(&symbol.name).unwrap_or(&symbol.name);
        by_base.entry(base).or_default().push(index);
    }
    for known in known {
        if let Some(&index) = by_name.get(known.name) {
            if !hinted[index] {
                hinted[index] = hint_same_name(known, &mut reports[index]);
            }
            continue;
        }
        let base = cpp_base_name(known.name).unwrap_or(known.name);
        for &index in by_base.get(base).map_or(&[][..], Vec::as_slice) {
            if !hinted[index] {
                hint_same_base(&unresolved[index].name, known, &mut reports[index]);
                hinted[index] = true;
            }
        }
    }
    hinted
}

fn hint_same_name(known: &Known<'_>, report: &mut Report) -> bool {
    let place = known.place;
    match known.kind {
        KnownKind::Exported => return false,
        KnownKind::Hidden => {
            report.notes.push(format!("{place} defines it, but hides it from others"));
            report.help.push("give it default visibility, or link the two into one dylib".into());
        }
        KnownKind::Unloaded => {
            report.notes.push(format!("{place} defines it, but was not loaded"));
            report.help.push("pass --whole-archive before that archive".into());
        }
        KnownKind::OtherConvention => {
            report.notes.push(format!(
                "{place} has a function of that name, which takes its arguments by the system's convention, and not by Windows'"
            ));
            report.help.push(
                "define it with --abs or in an object, as a function with Windows' convention: __attribute__((ms_abi)) in C, extern \"win64\" in Rust".into(),
            );
        }
        KnownKind::OutOfReach => {
            report.notes.push(format!("dylib {place} defines it, but is not in the link order of the dylib that asks"));
            report.help.push(format!("add {place} to its --needs"));
        }
    }
    true
}

/// `wanted` and the known name have one base name: one is C and the other C++, or the parameters differ.
fn hint_same_base(wanted: &str, known: &Known<'_>, report: &mut Report) {
    let Known { name, place, .. } = *known;
    let shown = demangle(name);
    match (is_cpp(wanted), is_cpp(name)) {
        (false, true) => {
            report.notes.push(format!("extern \"C\" mismatch: {place} defines the C++ function `{shown}`"));
            report.help.push(format!("declare it extern \"C\" in {place}, or call it from C++"));
        }
        (true, false) => {
            report.notes.push(format!("extern \"C\" mismatch: {place} defines the C function `{shown}`"));
            report.help.push("declare it extern \"C\" where it is called".into());
        }
        _ => report.help.push(format!("did you mean `{shown}` (defined in {place})? The parameters differ")),
    }
}

fn nearest_known<'k, 'a>(wanted: &str, known: &'k [Known<'a>]) -> Option<&'k Known<'a>> {
    let mut search = Nearest::new(wanted);
    let mut best = None;
    for known in known {
        if search.offer(known.name) {
            best = Some(known);
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unresolved(name: &str) -> Unresolved {
        Unresolved { name: name.into(), references: Vec::new(), reference_count: 0 }
    }

    /// The report about `wanted` when `known` (name, place, kind) exist.
    #[track_caller]
    fn check(wanted: &str, known: &[(&str, &str, KnownKind)], expected: &str) {
        let known: Vec<Known<'_>> = known.iter().map(|&(name, place, kind)| Known { name, place, kind }).collect();
        assert_eq!(undefined(&[unresolved(wanted)], &known)[0].to_string(), expected);
    }

    #[test]
    fn hints_by_cause() {
        use KnownKind::{Exported, Hidden, OutOfReach, Unloaded};
        check(
            "compute",
            &[("_Z7computei", "util.o", Exported)],
            "error: undefined symbol: compute\n  note: extern \"C\" mismatch: util.o defines the C++ function `compute(int)`\n  \
             help: declare it extern \"C\" in util.o, or call it from C++\n",
        );
        check(
            "_Z7computei",
            &[("compute", "util.o", Exported)],
            "error: undefined symbol: compute(int)\n  note: extern \"C\" mismatch: util.o defines the C function `compute`\n  \
             help: declare it extern \"C\" where it is called\n",
        );
        check(
            "_Z7computei",
            &[("_Z7computel", "util.o", Exported)],
            "error: undefined symbol: compute(int)\n  help: did you mean `compute(long)` (defined in util.o)? The parameters differ\n",
        );
        check(
            "f_hidden",
            &[("f_hidden", "a.o", Hidden)],
            "error: undefined symbol: f_hidden\n  note: a.o defines it, but hides it from others\n  \
             help: give it default visibility, or link the two into one dylib\n",
        );
        check(
            "member",
            &[("member", "lib.a(m.o)", Unloaded)],
            "error: undefined symbol: member\n  note: lib.a(m.o) defines it, but was not loaded\n  help: pass --whole-archive before that archive\n",
        );
        check(
            "other",
            &[("other", "B", OutOfReach)],
            "error: undefined symbol: other\n  note: dylib B defines it, but is not in the link order of the dylib that asks\n  \
             help: add B to its --needs\n",
        );
        check(
            "_RNvNtCs1_3std2io5print",
            &[("_RNvNtCs2_3std2io5print", "libstd.rlib", Exported)],
            "error: undefined symbol: std::io::print\n  note: libstd.rlib defines it, as compiled by another rustc or from another version of its crate\n  \
             help: take the rlibs that the object was compiled against: those of the same toolchain\n",
        );
        check("sqrt", &[], "error: undefined symbol: sqrt\n  help: it is a function of the math library: pass -lm\n");
        check("nothing_like_it", &[("main", "main.o", Exported)], "error: undefined symbol: nothing_like_it\n");
    }

    #[test]
    fn many_names_are_searched_in_little_time() {
        let names: Vec<String> = (0..100_000).map(|i| format!("_ZN5names{}function_number_{i}Ev", i % 7)).collect();
        let known: Vec<Known<'_>> =
            names.iter().map(|name| Known { name, place: "big.o", kind: KnownKind::Exported }).collect();
        let asked: Vec<Unresolved> =
            (0..200).map(|i| unresolved(&format!("_ZN5names3functoin_number_{}Ev", i * 7 + 3))).collect();
        let start = std::time::Instant::now();
        let reports = undefined(&asked, &known);
        assert_eq!(reports.len(), 200);
        assert!(reports[0].help[0].starts_with("did you mean `"), "{:?}", reports[0]);
        assert!(start.elapsed().as_secs() < 20, "{:?}", start.elapsed());
    }
}
