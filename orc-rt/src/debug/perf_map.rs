//! The map that perf reads names of code without a file from: `/tmp/perf-PID.map` (perf's documentation, `jit-interface.txt`).
//!
//! You give functions of images as they come; a profile taken meanwhile names them. perf reads the map when it *reports*, which may be when all images are gone, and knows
//! no time: so a line stays until its addresses are used again, and then it is voided, because of two lines for one address perf takes either.
//!
//! A process has one map, whatever the number of sessions. A child by fork begins its own with what its parent's says, since it has that code too. What cannot be
//! written is told once, and then no more is tried: a profile is not worth a program.

use super::names::readable;
use super::own_file;
use crate::sync::leaf::Mutex;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process;

/// The map of this process, once somebody watches.
static MAP: Mutex<Option<Map>> = Mutex::new(None);

/// A file that is being written.
#[derive(Debug)]
struct Map {
    process: u32,
    path: PathBuf,
    /// `None`: it could not be written, and somebody was told.
    file: Option<File>,
    size: u64,
    /// The lines in force, by first address.
    lines: BTreeMap<u64, Line>,
    /// Bytes of lines that are void, roughly.
    void: u64,
}

#[derive(Debug, Clone, Copy)]
struct Line {
    end: u64,
    /// Where it stands in the file.
    at: u64,
}

/// How many bytes of void lines are worth a new file, if they are more than half of it.
const VOID: u64 = if cfg!(test) { 4 << 10 } else { 4 << 20 };

/// Begins the map of this process, unless it has one.
///
/// # Errors
/// The file cannot be made.
pub(super) fn begin() -> Result<(), (String, io::Error)> {
    let mut map = MAP.lock();
    let map = map.get_or_insert_with(Map::new);
    let made = map.own_file().and_then(|file| file.map(|_| ()).ok_or_else(super::failed_before));
    made.map_err(|error| (map.path.display().to_string(), error))
}

/// Adds functions: first address, size, name as objects spell it.
pub(super) fn add<'a>(functions: impl Iterator<Item = (u64, u64, &'a str)>) {
    let mut map = MAP.lock();
    let map = map.get_or_insert_with(Map::new);
    if let Err(error) = map.add(functions) {
        map.file = None;
        tracing::warn!(%error, "{}: perf does not learn the names of linked functions any more", map.path.display());
    }
}

/// Where perf looks, whatever `TMPDIR` says.
const FOLDER: &str = "/tmp";

impl Map {
    fn new() -> Self {
        Self {
            process: 0,
            path: Path::new(FOLDER).join("perf-0.map"),
            file: None,
            size: 0,
            lines: BTreeMap::new(),
            void: 0,
        }
    }

    /// The file of this process: a child does not write to its parent's.
    fn own_file(&mut self) -> io::Result<Option<&File>> {
        if self.process != process::id() {
            self.process = process::id();
            let parents = self.file.take();
            self.path.set_file_name(format!("perf-{}.map", self.process));
            let file = own_file::create(&self.path)?;
            if let Some(parents) = parents {
                let mut text = vec![0; usize::try_from(self.size).unwrap_or(0)];
                parents.read_exact_at(&mut text, 0)?;
                file.write_all_at(&text, 0)?;
            }
            self.file = Some(file);
        }
        Ok(self.file.as_ref())
    }

    fn add<'a>(&mut self, functions: impl Iterator<Item = (u64, u64, &'a str)>) -> io::Result<()> {
        if self.own_file()?.is_none() {
            return Ok(());
        }
        let (start, mut text) = (self.size, String::new());
        for (address, size, name) in functions {
            let end = address.saturating_add(size.max(1));
            if self.make_room(address..end)? {
                self.lines.insert(address, Line { end, at: start + text.len() as u64 });
                // Writing to a string does not fail.
                let _ = writeln!(text, "{address:x} {:x} {}", end - address, readable(name));
            }
        }
        let Some(file) = &self.file else { return Ok(()) };
        file.write_all_at(text.as_bytes(), start)?;
        self.size = start + text.len() as u64;
        if self.void > VOID && self.void > self.size / 2 { self.rewrite() } else { Ok(()) }
    }

    /// Voids the lines that overlap `range`: what lay there is gone. Says no if one of them is not yet written: it is of the same image, and the first name stays.
    fn make_room(&mut self, range: Range<u64>) -> io::Result<bool> {
        let before = self.lines.range(..range.start).next_back().filter(|(_, line)| line.end > range.start);
        let overlapping = before.into_iter().chain(self.lines.range(range.clone()));
        let gone: Vec<(u64, Line)> = overlapping.map(|(address, line)| (*address, *line)).collect();
        if gone.iter().any(|(_, line)| line.at >= self.size) {
            return Ok(false);
        }
        for (address, Line { end, at }) in gone {
            self.lines.remove(&address);
            // Zeros for digits: a function at 0 without bytes, in a line of the same length.
            let digits = format!("{address:x} {:x}", end - address);
            let zeros: String = digits.chars().map(|digit| if digit == ' ' { ' ' } else { '0' }).collect();
            if let Some(file) = &self.file {
                file.write_all_at(zeros.as_bytes(), at)?;
            }
            self.void += 64;
        }
        Ok(true)
    }

    /// A new file of the lines in force.
    fn rewrite(&mut self) -> io::Result<()> {
        let Some(old) = &self.file else { return Ok(()) };
        let mut text = vec![0; usize::try_from(self.size).map_err(io::Error::other)?];
        old.read_exact_at(&mut text, 0)?;
        let mut kept = Vec::with_capacity(text.len());
        for line in self.lines.values_mut() {
            let rest = &text[line.at as usize..];
            let length = rest.iter().position(|byte| *byte == b'\n').map_or(rest.len(), |last| last + 1);
            line.at = kept.len() as u64;
            kept.extend(&rest[..length]);
        }
        let file = own_file::create(&self.path)?;
        file.write_all_at(&kept, 0)?;
        (self.file, self.size, self.void) = (Some(file), kept.len() as u64, 0);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Map;
    use std::fs::read_to_string;

    /// A map in a folder of its own.
    fn map() -> (tempfile::TempDir, Map) {
        let folder = tempfile::tempdir().expect("a folder");
        let map = Map { path: folder.path().join("perf-0.map"), ..Map::new() };
        (folder, map)
    }

    fn add(map: &mut Map, functions: &[(u64, u64, &str)]) {
        map.add(functions.iter().copied()).expect("written");
    }

    /// The lines as perf reads them, but for those at 0.
    fn lines(map: &Map) -> Vec<(u64, u64, String)> {
        let text = read_to_string(&map.path).expect("there");
        let number = |text: &str| u64::from_str_radix(text, 16).expect("hexadecimal");
        let line = |line: &str| {
            let [start, size, name] = line.splitn(3, ' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
            (number(start), number(size), name.to_owned())
        };
        text.lines().map(line).filter(|line| line.0 != 0).collect()
    }

    #[test]
    fn a_line_stays_until_its_addresses_are_used_again() {
        let (_folder, mut map) = map();
        add(&mut map, &[(0x1000, 0x10, "a"), (0x1010, 0x20, "_ZN1n1bEv"), (0x1040, 8, "c")]);
        add(&mut map, &[(0x3000, 1, "d")]);
        // From the middle of b to the middle of c.
        add(&mut map, &[(0x1020, 0x24, "new")]);
        let expected = [(0x1000, 0x10, "a"), (0x3000, 1, "d"), (0x1020, 0x24, "new")];
        assert_eq!(lines(&map), expected.map(|(start, size, name)| (start, size, name.to_owned())));
        assert!(map.path.ends_with(format!("perf-{}.map", std::process::id())));
    }

    #[test]
    fn of_two_names_for_one_function_the_first_stays() {
        let (_folder, mut map) = map();
        add(&mut map, &[(0x1000, 0x10, "first"), (0x1000, 0x10, "second"), (0x1008, 4, "third")]);
        assert_eq!(lines(&map), [(0x1000, 0x10, "first".to_owned())]);
    }

    #[test]
    fn a_map_does_not_grow_with_what_is_gone() {
        let (_folder, mut map) = map();
        add(&mut map, &[(0x1000, 0x10, "stays")]);
        for round in 0..2000_u64 {
            add(&mut map, &[(0x2000 + round % 7, 0x10, "comes and goes")]);
        }
        let size = std::fs::metadata(&map.path).expect("there").len();
        assert!(size < 16 << 10, "{size} bytes");
        assert_eq!(size, map.size);
        assert_eq!(lines(&map).len(), 2);
        assert_eq!(lines(&map)[0], (0x1000, 0x10, "stays".to_owned()));
    }
}
