//! Manifests: one place for versions, one for lints, and a reason for each lint.

use super::arrows::packages;
use super::tree::{MEMBERS, read};
use crate::refuse;

/// The lines of a manifest with number and the table that they stand in.
fn lines(text: &str) -> impl Iterator<Item = (usize, &str, &str)> {
    let mut table = "";
    text.lines().enumerate().filter_map(move |(index, line)| {
        if let Some(name) = line.strip_prefix('[') {
            table = name.split(']').next().unwrap_or_default().trim_start_matches('[');
            return None;
        }
        let entry = !line.trim().is_empty() && !line.trim_start().starts_with('#');
        entry.then_some((index + 1, table, line))
    })
}

#[test]
fn versions_come_from_the_workspace() {
    let mut breaches = Vec::new();
    for member in MEMBERS {
        let path = format!("{member}/Cargo.toml");
        let text = read(&path);
        for (number, table, line) in lines(&text) {
            let inherited = line.contains(".workspace = true") || line.contains("workspace = true");
            let (dependency, shared) = match table {
                "dependencies" | "dev-dependencies" | "build-dependencies" => (true, false),
                "package" => (
                    false,
                    ["version", "edition", "rust-version", "license"]
                        .iter()
                        .any(|key| line.strip_prefix(key).is_some_and(|rest| rest.starts_with([' ', '.', '=']))),
                ),
                _ => (table.ends_with("dependencies"), false),
            };
            if (dependency || shared) && !inherited {
                breaches.push(format!("{path}:{number}: {line}"));
            }
        }
    }
    refuse("versions, edition and license stand once, in the workspace's manifest", breaches);
}

#[test]
fn every_member_takes_the_workspaces_lints() {
    let takes = |text: &str| lines(text).any(|(_, table, line)| table == "lints" && line == "workspace = true");
    let breaches = MEMBERS.iter().map(|member| format!("{member}/Cargo.toml")).filter(|path| !takes(&read(path)));
    refuse("a member has `[lints] workspace = true`", breaches.collect());
}

#[test]
fn every_lint_has_its_reason() {
    let text = read("Cargo.toml");
    let of_lints = lines(&text).filter(|(_, table, _)| table.starts_with("workspace.lints"));
    let breaches =
        of_lints.filter(|(_, _, line)| line.split_once(" # ").is_none_or(|(_, reason)| reason.trim().len() < 10));
    let breaches: Vec<String> = breaches.map(|(number, _, line)| format!("Cargo.toml:{number}: {line}")).collect();
    assert!(
        lines(&text).any(|(_, table, _)| table == "workspace.lints.clippy"),
        "the manifest of the workspace has no lints"
    );
    refuse("a lint of the workspace has its reason in a comment behind it", breaches);
}

#[test]
fn every_bench_runs_its_own_main() {
    let mut breaches = Vec::new();
    for member in MEMBERS {
        let text = read(&format!("{member}/Cargo.toml"));
        for bench in text.split("[[bench]]").skip(1) {
            let entry = bench.split("\n[").next().unwrap_or(bench);
            let name = entry.lines().find_map(|line| line.strip_prefix("name = ")).unwrap_or("without a name");
            if !entry.lines().any(|line| line == "harness = false") {
                breaches.push(format!("{member}/Cargo.toml: bench {name}"));
            }
        }
    }
    refuse("a bench has `harness = false`: with the test harness its main never runs", breaches);
}

#[test]
fn every_package_tells_what_it_is() {
    let mut breaches = Vec::new();
    for package in packages() {
        let name = package["name"].as_str().unwrap_or_default();
        let member = MEMBERS
            .iter()
            .find(|member| name.trim_start_matches("orc-") == member.trim_start_matches("orc-"))
            .unwrap_or(&name);
        let published = package["publish"].is_null();
        for key in ["description", "readme", "license", "rust_version", "repository"] {
            if !package[key].is_string() && (published || key != "repository") {
                breaches.push(format!("{member}/Cargo.toml: {name} has no {key}"));
            }
        }
    }
    refuse("a package has description, readme, license, Rust version and repository", breaches);
}
