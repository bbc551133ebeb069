//! The project speaks of itself: not of the machines it was written on, and of no address that is not its own.

use super::tree::texts;
use crate::refuse;

/// The files of this test, which have to spell what they look for.
const SELF: &str = "integration-tests/tests/tidy/words.rs";

#[test]
fn no_path_of_somebodys_machine() {
    let mut breaches = Vec::new();
    for (path, text) in texts() {
        if path.ends_with(".lock") || path == SELF {
            continue;
        }
        let for_tests = path.starts_with("integration-tests/") || path.contains("/tests/");
        for (index, line) in text.lines().enumerate() {
            let mut found = ["/home/", "/root/", "/Users/", "C:\\Users"].into_iter().find(|p| starts(line, p));
            // Where perf looks is part of its interface.
            let of_perf = line.contains("/tmp/perf-");
            if found.is_none() && !for_tests && !of_perf && starts(line, "/tmp/") {
                found = Some("/tmp/");
            }
            if let Some(found) = found {
                breaches.push(format!("{path}:{}: {found}", index + 1));
            }
        }
    }
    refuse("no path of the machine that something was written or measured on", breaches);
}

/// Whether `path` begins a path in `line`: nothing of another path stands before it.
fn starts(line: &str, path: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || "._-}*".contains(c);
    line.match_indices(path).any(|(at, _)| !line[..at].chars().next_back().is_some_and(part))
}

/// Addresses that may stand in the tree.
const ADDRESSES: [(&str, &str); 8] = [
    ("https://github.com/orc-jit/orc-jit", "the repository, in the manifest"),
    ("http://www.apache.org/licenses/", "in the text of the license"),
    ("https://www.apache.org/licenses/", "in the text of the license"),
    ("http://deb.debian.org/debian", "where the bench gets the sources of a program from, as apt does"),
    ("https://keepachangelog.com/", "the form of the change log"),
    ("https://semver.org/", "the meaning of versions"),
    ("http://www.w3.org/2000/svg", "the name of the language of pictures"),
    ("https://rustup.rs", "where Rust comes from, for who has none"),
];

#[test]
fn addresses_are_known() {
    let mut breaches = Vec::new();
    for (path, text) in texts() {
        if path.ends_with(".lock") || path == SELF {
            continue;
        }
        for (index, line) in text.lines().enumerate() {
            let addresses = ["http://", "https://"].iter().flat_map(|scheme| line.match_indices(scheme));
            for (at, _) in
                addresses.filter(|(at, _)| !ADDRESSES.iter().any(|(known, _)| line[*at..].starts_with(known)))
            {
                let end = line[at..].find([' ', '"', '>', ')', '`']).map_or(line.len(), |end| at + end);
                breaches.push(format!("{path}:{}: {}", index + 1, &line[at..end]));
            }
            for host in ["crates.io", "docs.rs", "lib.rs/", "pypi.org", "npmjs."] {
                // `lib.rs/` would be the head of a path, too.
                if starts(line, host) && !line.contains(&format!("/{host}")) {
                    breaches.push(format!("{path}:{}: {host}", index + 1));
                }
            }
        }
    }
    refuse("no address but the listed ones, and no registry's host", breaches);
}
