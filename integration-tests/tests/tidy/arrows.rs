//! Who may import whom: the picture in ARCHITECTURE.md, read from what cargo makes of the manifests.

use super::tree;
use crate::refuse;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::sync::LazyLock;

/// Package, its folder, which packages of ours it may import. Nothing more in tests: a test that needs more belongs to
/// integration-tests.
const ARROWS: [(&str, &str, &[&str]); 6] = [
    ("jitlink", "jitlink", &[]),
    ("dylib-graph", "dylib-graph", &[]),
    ("orc-dispatch", "dispatch", &[]),
    ("orc-rt", "orc-rt", &["dylib-graph", "orc-dispatch"]),
    ("orc-jit", "orc-jit", &["dylib-graph", "jitlink", "orc-dispatch", "orc-rt"]),
    ("integration-tests", "integration-tests", &["dylib-graph", "jitlink", "orc-dispatch", "orc-jit", "orc-rt"]),
];

/// Packages that must not be reached through anything at all, tests included: an executor knows no object files.
const NEVER: [(&str, &[&str]); 1] = [("orc-rt", &["object", "jitlink", "orc-jit"])];

/// Packages that only tests of another may import: an executor knows no debug information either, but what it writes for profilers is read by somebody else.
const FOR_TESTS: [(&str, &str); 1] = [("orc-rt", "gimli")];

/// The packages of the workspace, as cargo describes them.
pub(super) fn packages() -> &'static [Value] {
    static PACKAGES: LazyLock<Vec<Value>> = LazyLock::new(ask_cargo);
    &PACKAGES
}

fn ask_cargo() -> Vec<Value> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let mut command = Command::new(cargo);
    command.args(["metadata", "--no-deps", "--offline", "--format-version=1"]).current_dir(tree::root());
    let output = command.output().expect("cargo can be started");
    assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    let mut metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo writes JSON");
    serde_json::from_value(metadata["packages"].take()).expect("cargo lists packages")
}

/// The packages by name, each with the names of those that it imports, from the lock file. One name is one package here, whatever
/// the version: that is on the safe side.
fn locked() -> BTreeMap<String, BTreeSet<String>> {
    let lock = tree::read("Cargo.lock");
    let mut packages: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for block in lock.split("[[package]]").skip(1) {
        let name = block
            .lines()
            .find_map(|line| line.strip_prefix("name = "))
            .expect("a package has a name")
            .trim_matches('"');
        let imports =
            block.split_once("dependencies = [").map_or("", |(_, list)| list.split(']').next().unwrap_or_default());
        let imports = imports.lines().map(|line| line.trim().trim_matches([',', '"'])).filter(|line| !line.is_empty());
        let imports = imports.filter_map(|import| import.split(' ').next()).map(str::to_owned);
        packages.entry(name.to_owned()).or_default().extend(imports);
    }
    packages
}

#[test]
fn packages_of_ours_import_only_what_the_picture_shows() {
    let mut breaches = Vec::new();
    let packages = packages();
    let names: Vec<&str> = packages.iter().filter_map(|package| package["name"].as_str()).collect();
    let expected: Vec<&str> = ARROWS.iter().map(|(name, ..)| *name).collect();
    assert_eq!(
        names.iter().collect::<BTreeSet<_>>(),
        expected.iter().collect::<BTreeSet<_>>(),
        "the members of the workspace"
    );
    for package in packages {
        let name = package["name"].as_str().unwrap_or_default();
        let (_, folder, allowed) = ARROWS.iter().find(|(of, ..)| *of == name).expect("compared above");
        for import in package["dependencies"].as_array().into_iter().flatten() {
            let imported = import["name"].as_str().unwrap_or_default();
            let ours = names.contains(&imported) || import["path"].is_string();
            if FOR_TESTS.contains(&(name, imported)) && import["kind"] != "dev" {
                breaches.push(format!("{folder}/Cargo.toml: {name} imports {imported} for more than its tests"));
            }
            if ours && !allowed.contains(&imported) {
                let kind = import["kind"].as_str().unwrap_or("normal");
                breaches.push(format!("{folder}/Cargo.toml: {name} imports {imported} ({kind} dependency)"));
            }
        }
    }
    refuse("arrows between packages go one way only; the picture is in ARCHITECTURE.md", breaches);
}

#[test]
fn the_executor_reaches_no_linker_through_anybody() {
    let packages = locked();
    let mut breaches = Vec::new();
    for (from, never) in NEVER {
        // Who brought each package in.
        let mut reached: BTreeMap<&str, &str> = BTreeMap::from([(from, "")]);
        let mut work = vec![from];
        while let Some(name) = work.pop() {
            for import in packages.get(name).unwrap_or_else(|| panic!("Cargo.lock does not have {name}")) {
                if !reached.contains_key(import.as_str()) {
                    reached.insert(import, name);
                    work.push(import);
                }
            }
        }
        for package in never.iter().filter(|package| reached.contains_key(**package)) {
            let mut path = vec![*package];
            while let Some(by) = reached.get(path[path.len() - 1]).filter(|by| !by.is_empty()) {
                path.push(by);
            }
            path.reverse();
            breaches.push(format!("Cargo.lock: {}", path.join(" -> ")));
        }
    }
    refuse("an executor never sees object files: what it links in must not either", breaches);
}

#[test]
fn only_the_tests_stay_unpublished() {
    let mut breaches = Vec::new();
    for package in packages() {
        let name = package["name"].as_str().unwrap_or_default();
        let unpublished = package["publish"].as_array().is_some_and(Vec::is_empty);
        if unpublished != (name == "integration-tests") {
            breaches.push(format!("{name}: publish = {}", package["publish"]));
        }
    }
    refuse("integration-tests says `publish = false`, and nothing else does", breaches);
}
