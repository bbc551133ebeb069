//! What the documents say exists: commands, options, files, packages.

use super::tree::{MEMBERS, read, root, texts};
use crate::refuse;
use std::os::unix::fs::PermissionsExt;

/// The project's own documents with their paths.
fn documents() -> Vec<&'static (String, String)> {
    let ours = |path: &str| path.ends_with(".md") && !path.starts_with("integration-tests/cases/");
    let documents: Vec<_> = texts().iter().filter(|(path, _)| ours(path)).collect();
    assert!(documents.iter().any(|(path, _)| path == "README.md"), "there is no README.md");
    documents
}

/// The lines of blocks of shell commands, with document and number, prompts and comments taken off.
fn commands() -> Vec<(String, String)> {
    let mut commands = Vec::new();
    for (path, text) in documents() {
        let mut shell = false;
        for (index, line) in text.lines().enumerate() {
            if let Some(language) = line.strip_prefix("```") {
                shell = !shell && matches!(language, "sh" | "bash" | "console");
            } else if shell {
                let command = line.split(" # ").next().unwrap_or_default().trim();
                if !command.is_empty() && !command.starts_with('#') {
                    commands.push((format!("{path}:{}", index + 1), command.to_owned()));
                }
            }
        }
    }
    commands
}

fn is_executable(path: &str) -> bool {
    root().join(path).metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

#[test]
fn the_two_commands_of_the_readme_exist() {
    let commands = commands();
    let of_readme =
        |wanted: &str| commands.iter().any(|(place, command)| place.starts_with("README.md:") && command == wanted);
    assert!(of_readme("cargo run --release -- demo"), "README.md does not show `cargo run --release -- demo`");
    assert!(of_readme("integration-tests/run"), "README.md does not show `integration-tests/run`");
    assert!(is_executable("integration-tests/run"), "integration-tests/run is not there, or is not executable");
    assert!(is_executable(".ci/run"), ".ci/run is not there, or is not executable");
    let calls = read(".ci/run").contains("integration-tests/run");
    assert!(calls, ".ci/run does not call integration-tests/run: what is checked is what a reader would run");
}

#[test]
fn scripts_in_documents_exist() {
    let ours =
        |word: &&str| MEMBERS.iter().any(|member| word.starts_with(&format!("{member}/"))) || word.starts_with(".ci/");
    let commands = commands();
    let first =
        commands.iter().filter_map(|(place, command)| Some((place, command.split_whitespace().next().filter(ours)?)));
    let breaches =
        first.filter(|(_, script)| !is_executable(script)).map(|(place, script)| format!("{place}: {script}"));
    refuse("a script that a document calls is there and executable", breaches.collect());
}

#[test]
fn packages_and_targets_in_documents_exist() {
    let mut breaches = Vec::new();
    for (place, command) in commands() {
        let words: Vec<&str> = command.split_whitespace().take_while(|word| *word != "--").collect();
        if words.first() != Some(&"cargo") {
            continue;
        }
        for pair in words.windows(2) {
            let there = match pair[0] {
                "-p" => super::arrows::packages().iter().any(|package| package["name"] == pair[1]),
                "--test" | "--bench" | "--bin" | "--example" => super::arrows::packages().iter().any(|package| {
                    let kind = pair[0].trim_start_matches("--");
                    let targets = package["targets"].as_array().into_iter().flatten();
                    targets.into_iter().any(|target| target["name"] == pair[1] && target["kind"][0] == kind)
                }),
                _ => true,
            };
            if !there {
                breaches.push(format!("{place}: {} {}", pair[0], pair[1]));
            }
        }
    }
    refuse("packages and targets that a document names are those of the workspace", breaches);
}

#[test]
fn options_in_documents_exist() {
    let folder = "orc-jit/src/bin/orc/";
    let command: String =
        texts().iter().filter(|(path, _)| path.starts_with(folder)).map(|(_, text)| text.as_str()).collect();
    let mut breaches = Vec::new();
    for (place, line) in commands() {
        let words: Vec<&str> = line.split_whitespace().take_while(|word| *word != "--").collect();
        let Some(at) = words.iter().position(|word| *word == "orc") else { continue };
        if let Some(verb) = words.get(at + 1).filter(|word| !word.starts_with('-')) {
            let capital = verb[..1].to_uppercase() + &verb[1..];
            if !command.contains(&format!("{capital}(")) && !command.contains(&format!("{capital},")) {
                breaches.push(format!("{place}: orc {verb}"));
            }
        }
        for option in words.iter().filter_map(|word| word.strip_prefix("--")) {
            let name = option.split('=').next().unwrap_or_default();
            let spelled = [format!("\"{name}\""), format!("{}:", name.replace('-', "_"))];
            if !name.is_empty() && !spelled.iter().any(|spelling| command.contains(spelling)) {
                breaches.push(format!("{place}: --{name}"));
            }
        }
    }
    refuse("commands and options of `orc` in documents are those that it has", breaches);
}

#[test]
fn paths_in_documents_exist() {
    let mut breaches = Vec::new();
    for (path, text) in documents().into_iter().filter(|(path, _)| path != "CHANGELOG.md") {
        let mut block = false;
        for (index, line) in text.lines().enumerate() {
            block ^= line.starts_with("```");
            if block {
                continue;
            }
            for name in line.split('`').skip(1).step_by(2) {
                let ours = MEMBERS.iter().any(|member| name.starts_with(&format!("{member}/")));
                // `{a,b}`, `<name>` and `*` stand for many.
                let plain = !name.contains(['{', '<', '*', ' ', '(']);
                let there = |name: &str| root().join(name.split(':').next().unwrap_or(name)).exists();
                if ours && plain && !there(name) {
                    breaches.push(format!("{path}:{}: {name}", index + 1));
                }
            }
            for (at, _) in line.match_indices("](") {
                let target = line[at + 2..].split([')', '#']).next().unwrap_or_default();
                let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
                if !target.is_empty() && !target.contains("://") && !root().join(folder).join(target).exists() {
                    breaches.push(format!("{path}:{}: {target}", index + 1));
                }
            }
        }
    }
    refuse("files that a document names or links to are there", breaches);
}
