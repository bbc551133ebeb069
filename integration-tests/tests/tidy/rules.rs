//! The rules of opening and closing: every one from 7 on has a program that would refute it, and the README's table says which.

use super::tree::{read, texts};
use crate::refuse;
use integration_tests::directive::{RULES, rules};
use std::collections::{BTreeMap, BTreeSet};

const README: &str = "integration-tests/README.md";
const CASES: &str = "integration-tests/cases/";
/// What opens a line that names rules, in cases and in tests.
const MARK: &str = "//#Rule:";
/// Earlier ones are about order alone, and the properties of `dylib-graph` say more about them than programs can.
const FIRST: u32 = 7;

/// By rule: the cases that name it as `question/name`, the tests as paths.
fn programs() -> BTreeMap<u32, BTreeSet<String>> {
    let mut programs: BTreeMap<u32, BTreeSet<String>> = BTreeMap::new();
    for (path, text) in texts() {
        let name = match path.strip_prefix(CASES) {
            Some(case) => case.rsplit_once('/').map_or(case, |(folder, _)| folder),
            None if path.contains("/tests/") && path.ends_with(".rs") => path,
            None => continue,
        };
        for value in text.lines().filter_map(|line| line.strip_prefix(MARK)) {
            let numbers = rules(value).unwrap_or_else(|why| panic!("{path}: {why}"));
            for rule in numbers {
                programs.entry(rule).or_default().insert(name.to_owned());
            }
        }
    }
    programs
}

/// The rows of the README's tables that begin with a number, and what each names in backquotes.
fn table() -> BTreeMap<u32, BTreeSet<String>> {
    let row = |line: &str| {
        let mut cells = line.strip_prefix("| ")?.split(" | ");
        let rule = cells.next()?.parse().ok()?;
        let names = cells.next()?.split('`').skip(1).step_by(2).map(str::to_owned);
        Some((rule, names.collect()))
    };
    read(README).lines().filter_map(row).collect()
}

#[test]
fn every_rule_has_a_program_that_would_refute_it() {
    let programs = programs();
    let without = (FIRST..=RULES).filter(|rule| !programs.contains_key(rule));
    refuse(
        "a rule has a case or a test that names it in a line `//#Rule:`",
        without.map(|rule| rule.to_string()).collect(),
    );
}

#[test]
fn the_table_of_rules_names_their_programs() {
    let (programs, table) = (programs(), table());
    let all: BTreeSet<u32> = programs.keys().chain(table.keys()).copied().collect();
    let breaches = all.into_iter().filter(|rule| programs.get(rule) != table.get(rule)).map(|rule| {
        let names: Vec<_> = programs.get(&rule).into_iter().flatten().map(|name| format!("`{name}`")).collect();
        format!("| {rule} | {} |", names.join(" "))
    });
    refuse("integration-tests/README.md has these rows", breaches.collect());
}

#[test]
fn cases_that_the_readme_names_exist() {
    let text = read(README);
    let names = text.lines().filter(|line| line.starts_with("| ")).flat_map(|line| line.split('`').skip(1).step_by(2));
    let questions: BTreeSet<&str> =
        texts().iter().filter_map(|(path, _)| path.strip_prefix(CASES)?.split('/').next()).collect();
    let is_case = |name: &&str| {
        name.split_once('/').is_some_and(|(question, case)| {
            questions.contains(question) && !case.is_empty() && !case.contains(['*', '<'])
        })
    };
    let there = |name: &str| texts().iter().any(|(path, _)| path.starts_with(&format!("{CASES}{name}/")));
    let breaches = names.filter(is_case).filter(|name| !there(name)).map(str::to_owned);
    refuse("a case that a table names is there", breaches.collect());
}
