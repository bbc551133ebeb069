//! The files of the project, and Rust sources with code and comments told apart.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

/// The members of the workspace, by folder.
pub(super) const MEMBERS: [&str; 6] = ["jitlink", "dylib-graph", "dispatch", "orc-rt", "orc-jit", "integration-tests"];

/// The folder of the workspace.
pub(super) fn root() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().expect("the package lies in the workspace").to_owned()
}

/// The text of a file, by its path from the workspace.
pub(super) fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every text file of the project as path from the workspace and contents, sorted. What is hidden, built or ignored is left out.
pub(super) fn texts() -> &'static [(String, String)] {
    static TEXTS: LazyLock<Vec<(String, String)>> = LazyLock::new(read_texts);
    &TEXTS
}

fn read_texts() -> Vec<(String, String)> {
    let root = root();
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        for entry in entries {
            let path = entry.expect("a readable folder").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let hidden = name.starts_with('.') && name != ".ci";
            if hidden || name == "target" || path.is_symlink() {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(text) = fs::read_to_string(&path) {
                let path = path.strip_prefix(&root).expect("found below the root");
                found.push((path.to_string_lossy().into_owned(), text));
            }
        }
    }
    found.sort();
    found
}

/// A Rust source.
#[derive(Debug)]
pub(super) struct Source {
    /// From the workspace.
    pub(super) path: String,
    /// Its lines.
    pub(super) lines: Vec<Line>,
}

/// One line of a source.
#[derive(Debug, Default)]
pub(super) struct Line {
    /// As it is written.
    pub(super) text: String,
    /// Without comments, and with nothing between quotes.
    pub(super) code: String,
    /// Its comment, of any kind.
    pub(super) comment: String,
    /// Inside of a `#[cfg(test)]` module.
    pub(super) test: bool,
}

impl Source {
    /// Whether it is a test, bench or example of some package, or helps one.
    pub(super) fn is_test(&self) -> bool {
        let beside = ["/tests/", "/benches/", "/examples/"].iter().any(|folder| self.path.contains(folder));
        beside || self.path.starts_with("integration-tests/") || self.path.ends_with("/tests.rs")
    }

    /// The lines with their numbers, as editors count.
    pub(super) fn numbered(&self) -> impl Iterator<Item = (usize, &Line)> {
        self.lines.iter().enumerate().map(|(index, line)| (index + 1, line))
    }

    /// The same, of what is shipped.
    pub(super) fn shipped(&self) -> impl Iterator<Item = (usize, &Line)> {
        self.numbered().filter(|(_, line)| !line.test)
    }

    /// The comment that the file opens with.
    pub(super) fn head(&self) -> String {
        let head = self.lines.iter().take_while(|line| line.text.starts_with("//!"));
        head.map(|line| &line.text["//!".len()..]).collect::<Vec<_>>().join("\n")
    }
}

/// Every Rust source of the members. Programs that cases and benches compile are data here, written for their question.
pub(super) fn sources() -> &'static [Source] {
    const DATA: [&str; 3] =
        ["integration-tests/cases/", "integration-tests/programs/", "integration-tests/benches/programs/"];
    static SOURCES: LazyLock<Vec<Source>> = LazyLock::new(|| {
        let rust = texts().iter().filter(|(path, _)| path.ends_with(".rs"));
        let ours = rust.filter(|(path, _)| !DATA.iter().any(|folder| path.starts_with(folder)));
        ours.map(|(path, text)| source(path.clone(), text)).collect()
    });
    &SOURCES
}

fn source(path: String, text: &str) -> Source {
    let (code, comments) = split(text);
    let mut lines: Vec<Line> = text
        .lines()
        .zip(code.split('\n').zip(comments.split('\n')))
        .map(|(text, (code, comment))| Line {
            text: text.to_owned(),
            code: code.to_owned(),
            comment: comment.to_owned(),
            test: false,
        })
        .collect();
    let mut test = false;
    for index in 0..lines.len() {
        let opens = lines[index].code.trim() == "#[cfg(test)]"
            && lines
                .get(index + 1)
                .is_some_and(|next| next.code.trim_start().starts_with("mod ") && next.code.ends_with('{'));
        test |= opens;
        lines[index].test = test;
        test &= lines[index].code != "}";
    }
    Source { path, lines }
}

/// Code and comments of a Rust text, each with the line breaks of the whole.
fn split(text: &str) -> (String, String) {
    let (mut code, mut comments) = (String::with_capacity(text.len()), String::new());
    let mut rest = text;
    let mut before = ' ';
    while let Some(first) = rest.chars().next() {
        let (kind, length) = token(rest, before);
        let taken = &rest[..length];
        match kind {
            Kind::Code => code.push_str(taken),
            Kind::Quoted => code.extend(taken.chars().map(|c| if c == '"' || c == '\n' { c } else { ' ' })),
            Kind::Comment => code.extend(taken.chars().filter(|c| *c == '\n')),
        }
        match kind {
            Kind::Comment => comments.push_str(taken),
            Kind::Code | Kind::Quoted => comments.extend(taken.chars().filter(|c| *c == '\n')),
        }
        before = if length == first.len_utf8() { first } else { ' ' };
        rest = &rest[length..];
    }
    (code, comments)
}

enum Kind {
    Code,
    Quoted,
    Comment,
}

/// What stands at the start of `rest`, and how many bytes of it belong together.
fn token(rest: &str, before: char) -> (Kind, usize) {
    let bytes = rest.as_bytes();
    let in_word = before.is_alphanumeric() || before == '_';
    if rest.starts_with("//") {
        return (Kind::Comment, rest.find('\n').unwrap_or(rest.len()));
    }
    if rest.starts_with("/*") {
        return (Kind::Comment, block_comment(bytes));
    }
    let raw = rest.trim_start_matches(['b', 'c']);
    if !in_word && raw.len() + 1 >= rest.len() && raw.starts_with('r') {
        let hashes = raw[1..].bytes().take_while(|byte| *byte == b'#').count();
        if raw[1 + hashes..].starts_with('"') {
            let end = format!("\"{}", "#".repeat(hashes));
            let start = rest.len() - raw.len() + hashes + 2;
            return (Kind::Quoted, rest[start..].find(&end).map_or(rest.len(), |at| start + at + end.len()));
        }
    }
    match bytes[0] {
        b'"' => (Kind::Quoted, quoted(bytes, b'"')),
        // A character, and not a lifetime.
        b'\'' if bytes.get(1) == Some(&b'\\') => (Kind::Quoted, quoted(bytes, b'\'')),
        b'\'' => {
            let inner = rest[1..].chars().next().map_or(0, char::len_utf8);
            if bytes.get(1 + inner) == Some(&b'\'') { (Kind::Quoted, inner + 2) } else { (Kind::Code, 1) }
        }
        _ => (Kind::Code, rest.chars().next().map_or(1, char::len_utf8)),
    }
}

fn quoted(bytes: &[u8], end: u8) -> usize {
    let mut at = 1;
    while at < bytes.len() && bytes[at] != end {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(bytes.len())
}

fn block_comment(bytes: &[u8]) -> usize {
    let (mut depth, mut at) = (0usize, 0);
    while at < bytes.len() {
        match &bytes[at..bytes.len().min(at + 2)] {
            b"/*" => (depth, at) = (depth + 1, at + 2),
            b"*/" => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

/// Whether `word` stands in `text` with nothing of a name on either side.
pub(super) fn has_word(text: &str, word: &str) -> bool {
    let of_name = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word).any(|(at, _)| {
        !text[..at].chars().next_back().is_some_and(of_name)
            && !text[at + word.len()..].chars().next().is_some_and(of_name)
    })
}

#[test]
fn code_and_comments_are_told_apart() {
    let text = "let a = \"// \\\" unsafe\"; // one\nlet b = r#\"unsafe \"quoted\" \"#; /* two /* nested */\n still */ let c = '\"'; fn f<'a>() {}\nlet d = b'\\''; // 'three\n";
    let (code, comments) = split(text);
    assert_eq!(comments, "// one\n/* two /* nested */\n still */\n// 'three\n");
    assert!(
        !code.contains("unsafe")
            && !code.contains("still")
            && code.contains("let c =")
            && code.contains("fn f<'a>() {}"),
        "{code}"
    );
    assert_eq!(code.lines().count(), text.lines().count());
    assert!(has_word("an unsafe block", "unsafe") && !has_word("deny(unsafe_code)", "unsafe"));
}
