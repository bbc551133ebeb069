//! Response files: arguments read from a file, because there are more than a command line holds.
//!
//! `@FILE` stands for the words of FILE. Words are split at white space; `'...'` and `"..."` keep it, and `\` takes the next
//! character as it is, outside `'...'`. These are the rules of the GNU tools. A response file may name others.

use super::InputError;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

/// More response files than this are taken for files that include each other.
const LIMIT: usize = 10_000;

/// Replaces each `@FILE` before `--` by the words of FILE.
///
/// # Errors
/// When a response file cannot be read, leaves a quote open, or the files include each other.
pub fn expand(arguments: impl IntoIterator<Item = OsString>) -> Result<Vec<OsString>, InputError> {
    let mut expanded = Vec::new();
    let mut files = 0;
    // What is still to be looked at, last first: depth of inclusion costs no stack.
    let mut pending: Vec<OsString> = arguments.into_iter().collect();
    pending.reverse();
    while let Some(argument) = pending.pop() {
        if argument == "--" {
            expanded.push(argument);
            expanded.extend(pending.drain(..).rev());
            break;
        }
        let Some(path) = argument.as_bytes().strip_prefix(b"@").filter(|path| !path.is_empty()) else {
            expanded.push(argument);
            continue;
        };
        let path = Path::new(OsStr::from_bytes(path));
        files += 1;
        if files > LIMIT {
            return Err(InputError::ResponseLoop { path: path.into(), limit: LIMIT });
        }
        let text = std::fs::read(path).map_err(|error| InputError::read(path, error))?;
        pending.extend(split(path, &text)?.into_iter().rev());
    }
    Ok(expanded)
}

/// The words of a response file. `path` is for messages.
///
/// # Errors
/// [`InputError::Quote`] when a quote is left open.
pub fn split(path: &Path, text: &[u8]) -> Result<Vec<OsString>, InputError> {
    let mut words = Vec::new();
    let mut word: Option<Vec<u8>> = None;
    let mut quote: Option<(u8, u32)> = None;
    let mut line = 1;
    let mut bytes = text.iter().copied();
    while let Some(byte) = bytes.next() {
        line += u32::from(byte == b'\n');
        match (byte, quote) {
            (b'\\', None | Some((b'"', _))) => {
                if let Some(next) = bytes.next() {
                    line += u32::from(next == b'\n');
                    word.get_or_insert_default().push(next);
                }
            }
            (b'\'' | b'"', None) => {
                // An empty pair of quotes is a word too.
                word.get_or_insert_default();
                quote = Some((byte, line));
            }
            (_, Some((open, _))) if byte == open => quote = None,
            (_, None) if byte.is_ascii_whitespace() => words.extend(word.take().map(OsString::from_vec)),
            _ => word.get_or_insert_default().push(byte),
        }
    }
    if let Some((quote, line)) = quote {
        return Err(InputError::Quote { path: path.into(), line, quote: char::from(quote) });
    }
    words.extend(word.map(OsString::from_vec));
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        assert_eq!(split(Path::new("x.rsp"), text.as_bytes()).unwrap(), expected);
    }

    #[test]
    fn words_are_split_as_the_gnu_tools_do() {
        check("a.o  b.o\n\tc.o\n", &["a.o", "b.o", "c.o"]);
        check(r#"'a b' "c d" e\ f"#, &["a b", "c d", "e f"]);
        check(r#"'a\b' "c\"d" x'y'z"#, &[r"a\b", "c\"d", "xyz"]);
        check("--needs '' a", &["--needs", "", "a"]);
        check("", &[]);
        check("\\", &[]);
    }

    #[test]
    fn an_open_quote_is_named_with_its_line() {
        let error = split(Path::new("x.rsp"), b"a\nb 'c\n").unwrap_err();
        assert_eq!(error.to_string(), "x.rsp:2: the ' that is opened here is never closed");
    }

    #[test]
    fn files_nest_until_they_loop_and_program_arguments_are_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let [outer, inner, looping] = ["outer", "inner", "looping"].map(|name| dir.path().join(name));
        std::fs::write(&outer, format!("a @{} d", inner.display())).unwrap();
        std::fs::write(&inner, "b 'c c'").unwrap();
        std::fs::write(&looping, format!("@{}", looping.display())).unwrap();
        let at = |path: &Path| OsString::from(format!("@{}", path.display()));

        let words = expand([at(&outer), "@".into(), "--".into(), at(&outer)]).unwrap();
        assert_eq!(words, ["a", "b", "c c", "d", "@", "--", at(&outer).to_str().unwrap()]);

        assert!(matches!(expand([at(&looping)]), Err(InputError::ResponseLoop { .. })));
        let missing = expand(["@/no/such".into()]).unwrap_err();
        assert_eq!(missing.to_string(), "cannot read /no/such: no such file");
    }
}
