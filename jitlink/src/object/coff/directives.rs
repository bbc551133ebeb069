//! What an object asks of its linker in words: `.drectve` (PE/COFF, "The .drectve Section").
//!
//! Options mean what `link.exe` makes of them there; quotes may stand anywhere in one. What has no sense for code that is not made into a file is
//! known and ignored; what is not known is told ([`LinkGraph::notes`](crate::graph::LinkGraph::notes)) and ends nothing. `/merge` and `/section` are
//! for the sections of the object that says so.

use super::Reader;
use crate::graph::Scope;
use crate::object::{ObjectError, ObjectProblem};
use object::pe;
use object::read::coff::CoffHeader;
use std::borrow::Cow;
use std::collections::HashMap;

/// The options of one object that its own sections and symbols are read by, and those that wait until these are.
#[derive(Debug, Default)]
pub(super) struct Directives<'data> {
    rights: HashMap<&'data [u8], u32>,
    merges: HashMap<&'data [u8], &'data [u8]>,
    alignments: HashMap<&'data [u8], u64>,
    hidden: Vec<&'data [u8]>,
    /// In the order in which they stand.
    late: Vec<Late<'data>>,
}

#[derive(Clone, Copy, Debug)]
enum Late<'data> {
    Include(&'data [u8]),
    /// A name, and what it is within.
    Export(&'data [u8], Option<&'data [u8]>),
    Alternate(&'data [u8], &'data [u8]),
}

impl<'data> Directives<'data> {
    /// What may be done with a section's memory, as flags of a section header, if an option says so.
    pub(super) fn rights_of(&self, section: &[u8]) -> Option<u32> {
        self.rights.get(section).copied()
    }

    /// What a section is called in the end: a chain of merges is followed, a circle left as it is.
    pub(super) fn merged(&self, section: &'data [u8]) -> &'data [u8] {
        let mut name = section;
        for _ in 0..self.merges.len().min(16) {
            match self.merges.get(name) {
                Some(next) => name = next,
                None => return name,
            }
        }
        if self.merges.is_empty() || !self.merges.contains_key(name) { name } else { section }
    }

    /// The alignment of a common symbol, if an option says so.
    pub(super) fn alignment_of(&self, symbol: &[u8]) -> Option<u64> {
        self.alignments.get(symbol).copied()
    }

    /// Who sees a global name.
    pub(super) fn scope_of(&self, symbol: &[u8]) -> Scope {
        if self.hidden.binary_search(&symbol).is_ok() { Scope::Hidden } else { Scope::Default }
    }
}

/// Options that are about files, processes of Windows or other tools.
const IGNORED: [&str; 25] = [
    "base",
    "debugtype",
    "disallowlib",
    "editandcontinue",
    "entry",
    "fastfail",
    "filealign",
    "guardsym",
    "heap",
    "incremental",
    "inferasanlibs",
    "inferasanlibsno",
    "manifestdependency",
    "nodefaultlib",
    "opt",
    "order",
    "release",
    "safeseh",
    "stack",
    "stub",
    "subsystem",
    "throwingnew",
    "version",
    "exclude-all-symbols",
    "guard",
];

impl<'data, Coff: CoffHeader> Reader<'_, 'data, Coff> {
    /// Reads what the object's own sections and symbols are read by.
    pub(super) fn read_directives(&mut self) -> Result<(), ObjectError> {
        for section in 1..self.shapes.len() {
            let shape = self.shapes[section];
            if shape.name != b".drectve" || !shape.has(pe::IMAGE_SCN_LNK_INFO) {
                continue;
            }
            let text = self.content(section)?;
            self.claim(section, text.len() as u64)?;
            for option in split(text) {
                self.read_option(section, option)?;
            }
        }
        self.directives.hidden.sort_unstable();
        Ok(())
    }

    fn read_option(&mut self, section: usize, option: &'data [u8]) -> Result<(), ObjectError> {
        let Some((b'/' | b'-', rest)) = option.split_first() else {
            self.warn(option, "is no option");
            return Ok(());
        };
        let (name, value) = cut(rest, b':');
        let value = value.unwrap_or_default();
        let name = String::from_utf8_lossy(name).to_ascii_lowercase();
        let wrong = |reader: &Self, what: &str| {
            let option = String::from_utf8_lossy(option);
            reader.malformed(section, None, format!("option '{option}': {what}"))
        };
        match (&*name, value) {
            ("include", symbol) => self.directives.late.push(Late::Include(unquote(symbol))),
            ("export", value) => {
                let mut parts = value.split(|byte| *byte == b',');
                let (name, within) = cut(parts.next().unwrap_or_default(), b'=');
                self.directives.late.push(Late::Export(unquote(name), within.map(unquote)));
            }
            ("alternatename", value) => match cut(value, b'=') {
                (name, Some(of)) => self.directives.late.push(Late::Alternate(unquote(name), unquote(of))),
                _ => return Err(wrong(self, "is to be NAME=OTHER")),
            },
            ("failifmismatch", value) => match cut(unquote(value), b'=') {
                (key, Some(said)) => return self.agree(key, said),
                _ => return Err(wrong(self, "is to be KEY=VALUE")),
            },
            ("merge", value) => match cut(value, b'=') {
                (from, Some(to)) => drop(self.directives.merges.insert(unquote(from), unquote(to))),
                _ => return Err(wrong(self, "is to be FROM=TO")),
            },
            ("section", value) => {
                let (name, letters) = cut(value, b',');
                let rights = rights(letters.unwrap_or_default())
                    .ok_or_else(|| wrong(self, "rights of another kind than R, W, E"))?;
                self.directives.rights.insert(unquote(name), rights);
            }
            ("aligncomm", value) => {
                let (name, log2) = cut(value, b',');
                let log2 = log2.and_then(|digits| str::from_utf8(digits).ok()?.trim().parse::<u32>().ok());
                let log2 = log2.filter(|log2| *log2 <= 13).ok_or_else(|| wrong(self, "an alignment of 0 to 13"))?;
                self.directives.alignments.insert(unquote(name), 1 << log2);
            }
            ("exclude-symbols", value) => {
                self.directives.hidden.extend(value.split(|byte| *byte == b',').map(unquote));
            }
            ("defaultlib", library) => {
                let library = String::from_utf8_lossy(unquote(library));
                self.graph
                    .note(self.object, format!("'{library}' is wanted as a library, and not looked for (.drectve)"));
            }
            (name, _) if IGNORED.contains(&name) => {}
            _ => self.warn(option, "is an option that is not known"),
        }
        Ok(())
    }

    fn warn(&mut self, what: &[u8], told: &str) {
        self.graph.warn(self.object, format!("'{}' {told} (.drectve)", String::from_utf8_lossy(what)));
    }

    fn agree(&mut self, key: &'data [u8], value: &'data [u8]) -> Result<(), ObjectError> {
        let Some((first, said)) = self.graph.agree(key, value, self.object) else { return Ok(()) };
        let text = |bytes: &[u8]| format!("'{}'", String::from_utf8_lossy(bytes));
        Err(self.fail(ObjectProblem::Mismatch {
            here: format!("{} for {}", text(value), text(key)).into(),
            first: self.graph.object(first).name.as_str().into(),
            there: text(said).into(),
        }))
    }

    /// What is about names, now that the object's own are in the graph.
    pub(super) fn apply_directives(&mut self) -> Result<(), ObjectError> {
        for late in std::mem::take(&mut self.directives.late) {
            match late {
                Late::Include(name) => {
                    let id = self.refer(name);
                    self.graph.keep(id);
                }
                Late::Export(name, None) => {
                    let id = self.refer(name);
                    self.graph.keep(id);
                }
                Late::Export(name, Some(within)) => {
                    let to = self.refer(within);
                    let id = self.graph.refer(name, true, Scope::Default, self.object);
                    self.graph.fall_back(id, to, false);
                    self.graph.keep(id);
                }
                Late::Alternate(name, of) => {
                    let to = self.graph.refer(of, true, Scope::Default, self.object);
                    let id = self.graph.refer(name, true, Scope::Default, self.object);
                    self.graph.fall_back(id, to, false);
                }
            }
        }
        Ok(())
    }
}

/// The options of a text, at blanks that are not within quotes.
fn split(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    // A mark that says that the text is UTF-8.
    let mut rest = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    std::iter::from_fn(move || {
        let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | 0);
        let start = rest.iter().position(|byte| !is_blank(byte))?;
        rest = &rest[start..];
        let mut quoted = false;
        let end = rest.iter().position(|byte| {
            quoted ^= *byte == b'"';
            !quoted && is_blank(byte)
        });
        let (option, after) = rest.split_at(end.unwrap_or(rest.len()));
        rest = after;
        Some(option)
    })
}

/// What stands before and after the first `at`.
fn cut(text: &[u8], at: u8) -> (&[u8], Option<&[u8]>) {
    match text.iter().position(|byte| *byte == at) {
        Some(position) => (&text[..position], Some(&text[position + 1..])),
        None => (text, None),
    }
}

fn unquote(text: &[u8]) -> &[u8] {
    let text = text.strip_prefix(b"\"").unwrap_or(text);
    text.strip_suffix(b"\"").unwrap_or(text)
}

/// `RWE` and other letters, as flags of a section header; a `!` in front says what is not.
fn rights(letters: &[u8]) -> Option<u32> {
    let letters: Cow<'_, str> = String::from_utf8_lossy(unquote(letters));
    let mut flags = 0;
    let mut not = false;
    for letter in letters.chars() {
        let flag = match letter.to_ascii_uppercase() {
            '!' => {
                not = true;
                continue;
            }
            'R' => pe::IMAGE_SCN_MEM_READ.0,
            'W' => pe::IMAGE_SCN_MEM_WRITE.0,
            'E' => pe::IMAGE_SCN_MEM_EXECUTE.0,
            // Shared, discardable, not cached, not paged: nothing here is.
            'S' | 'D' | 'K' | 'P' => 0,
            _ => return None,
        };
        if !std::mem::take(&mut not) {
            flags |= flag;
        }
    }
    Some(flags)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_end_at_blanks_outside_of_quotes() {
        let text = b"\xef\xbb\xbf /include:a -export:\"b c\",DATA  /merge:\".x\"=.y\0\0";
        let options: Vec<_> = split(text).map(|option| str::from_utf8(option).expect("ASCII")).collect();
        assert_eq!(options, ["/include:a", "-export:\"b c\",DATA", "/merge:\".x\"=.y"]);
        assert_eq!(split(b"\"open end").count(), 1);
        assert_eq!(split(b" \t").count(), 0);
    }

    #[test]
    fn merges_are_followed_and_circles_are_none() {
        let mut directives = Directives::default();
        directives.merges.insert(b".a", b".b");
        directives.merges.insert(b".b", b".c");
        assert_eq!(directives.merged(b".a"), b".c");
        directives.merges.insert(b".c", b".a");
        assert_eq!(directives.merged(b".a"), b".a");
        assert_eq!(directives.merged(b".d"), b".d");
    }

    #[test]
    fn rights_are_letters() {
        assert_eq!(rights(b"RW"), Some(pe::IMAGE_SCN_MEM_READ.0 | pe::IMAGE_SCN_MEM_WRITE.0));
        assert_eq!(rights(b"\"er!w\""), Some(pe::IMAGE_SCN_MEM_READ.0 | pe::IMAGE_SCN_MEM_EXECUTE.0));
        assert_eq!(rights(b"x"), None);
    }
}
