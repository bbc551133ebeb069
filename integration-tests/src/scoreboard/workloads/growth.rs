//! The same thing again and again, at three sizes: what must cost in proportion. What each program prints is known beforehand.

use super::Workload;
use super::generated::Dice;
use super::objects::{Refers, Style, Unit, result};
use crate::scoreboard::Result;
use crate::scoreboard::growth::START;
use crate::scoreboard::shop::{Shop, files, write};
use std::fmt::Write as _;
use std::path::Path;

/// Changes when the generator does.
const VERSION: u32 = 3;
const GLOBAL: Style = Style { global: true, section_each: false };
const LOCAL: Style = Style { global: false, section_each: false };
const SECTION_EACH: Style = Style { global: false, section_each: true };

/// What grows: its name, what it is, its sizes, and how it is written into a folder.
pub(in crate::scoreboard) struct Family {
    pub(in crate::scoreboard) name: &'static str,
    what: &'static str,
    pub(in crate::scoreboard) sizes: &'static [usize],
    write: fn(&Path, usize) -> Result<u32>,
}

const THOUSANDS: &[usize] = &[1_000, 10_000, 100_000];

pub(in crate::scoreboard) const FAMILIES: &[Family] = &[
    Family { name: START, what: "one function", sizes: &[1], write: functions },
    Family { name: "functions", what: "functions, ten an object", sizes: THOUSANDS, write: functions },
    Family {
        name: "one object",
        what: "functions with local calls in one object",
        sizes: THOUSANDS,
        write: one_object,
    },
    Family { name: "sections", what: "functions in one object, a section each", sizes: THOUSANDS, write: sections },
    Family { name: "members", what: "archive members that are needed", sizes: THOUSANDS, write: members },
    // Each costs so little that a thousand could not be told from the start.
    Family {
        name: "relocations",
        what: "relocations of one section",
        sizes: &[10_000, 100_000, 1_000_000],
        write: relocations,
    },
    Family { name: "dylibs", what: "dylibs of one function", sizes: THOUSANDS, write: dylibs },
];

/// One size of a family.
pub(super) fn make(shop: &Shop, family: &Family, size: usize) -> Result<Workload> {
    let folder =
        shop.cached(&format!("{} {size}", family.name).replace(' ', "-"), &format!("generator {VERSION}"), |folder| {
            let sum = (family.write)(folder, size)?;
            write(&folder.join("expected"), &format!("{sum}\n"))
        })?;
    let expected = std::fs::read(folder.join("expected")).map_err(|e| format!("{}: {e}", folder.display()))?;
    let dylibs = folder.join("dylibs.rsp");
    Ok(Workload {
        name: family.name,
        what: family.what,
        objects: files(&folder, &["o"])?,
        archives: files(&folder, &["a"])?,
        inputs_for_jitlink: None,
        dylibs: dylibs.exists().then_some(dylibs),
        libraries: &[],
        args: Vec::new(),
        stdin: None,
        expected: Some(expected),
        floor: None,
    })
}

fn functions(folder: &Path, size: usize) -> Result<u32> {
    let all = anywhere(size);
    for (index, ten) in all.chunks(10).enumerate() {
        put(folder, &format!("unit{index:05}.o"), |unit| unit.functions(GLOBAL, ten))?;
    }
    put(folder, "main.o", |unit| unit.main(0..size))?;
    Ok(sum(&all, 0..size))
}

fn one_object(folder: &Path, size: usize) -> Result<u32> {
    whole(folder, size, LOCAL)
}

fn sections(folder: &Path, size: usize) -> Result<u32> {
    whole(folder, size, SECTION_EACH)
}

fn whole(folder: &Path, size: usize, style: Style) -> Result<u32> {
    let all = anywhere(size);
    put(folder, "main.o", |unit| {
        unit.functions(style, &all)?;
        unit.main(0..size)
    })?;
    Ok(sum(&all, 0..size))
}

/// The archive is written here as well: `ar` needs a time that grows with the square of the members.
fn members(folder: &Path, size: usize) -> Result<u32> {
    let all = anywhere(size);
    let mut members = Vec::with_capacity(size);
    for one in &all {
        let mut unit = Unit::new();
        unit.functions(GLOBAL, &[*one])?;
        members.push(unit.finish()?);
    }
    let path = folder.join("members.a");
    std::fs::write(&path, archive(&members)).map_err(|e| format!("{}: {e}", path.display()))?;
    put(folder, "main.o", |unit| unit.main(0..size))?;
    Ok(sum(&all, 0..size))
}

/// System V's form with GNU's index: for every symbol the place of its member, then the names.
fn archive(members: &[Vec<u8>]) -> Vec<u8> {
    let names = |number: usize| format!("step_{number}\0value_{number}\0");
    let header =
        |name: &str, size: usize| format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{size:<10}`\n", 0, 0, 0, 644).into_bytes();
    let text: String = (0..members.len()).map(names).collect();
    let index = (4 + 8 * members.len() + text.len()).next_multiple_of(2);
    let mut bytes = b"!<arch>\n".to_vec();
    bytes.extend(header("/", index));
    let end = bytes.len() + index;
    bytes.extend((2 * members.len() as u32).to_be_bytes());
    let mut place = end;
    for member in members {
        bytes.extend([(place as u32).to_be_bytes(); 2].concat());
        place += 60 + member.len().next_multiple_of(2);
    }
    bytes.extend(text.as_bytes());
    bytes.resize(end, 0);
    for (number, member) in members.iter().enumerate() {
        bytes.extend(header(&format!("{number}.o/"), member.len()));
        bytes.extend(member);
        bytes.resize(bytes.len().next_multiple_of(2), b'\n');
    }
    bytes
}

/// The table of `main` names ten functions again and again.
fn relocations(folder: &Path, size: usize) -> Result<u32> {
    let all = anywhere(10);
    put(folder, "main.o", |unit| {
        unit.functions(LOCAL, &all)?;
        unit.main(Cycle { next: 0, left: size })
    })?;
    Ok(sum(&all, (0..size).map(|index| index % 10)))
}

/// Each refers to itself alone; the first dylib, which has `main`, needs all others.
fn dylibs(folder: &Path, size: usize) -> Result<u32> {
    let objects = folder.join("objects");
    std::fs::create_dir(&objects).map_err(|e| format!("{}: {e}", objects.display()))?;
    let all: Vec<_> = (0..size).map(|me| (me, Refers { calls: [me; 2], points: me, reads: me })).collect();
    put(&objects, "main.o", |unit| unit.main(0..size))?;
    let mut words = format!("{}\n", objects.join("main.o").display());
    for one in &all {
        let name = format!("{}.o", one.0);
        put(&objects, &name, |unit| unit.functions(GLOBAL, &[*one]))?;
        let _ = writeln!(words, "--dylib d{} {}", one.0, objects.join(&name).display());
    }
    write(&folder.join("dylibs.rsp"), &words)?;
    Ok(sum(&all, 0..size))
}

/// Functions that refer to any others.
fn anywhere(size: usize) -> Vec<(usize, Refers)> {
    let mut dice = Dice::new();
    let mut any = || dice.below(size);
    (0..size).map(|me| (me, Refers { calls: [any(), any()], points: any(), reads: any() })).collect()
}

/// What `main` prints.
fn sum(all: &[(usize, Refers)], table: impl Iterator<Item = usize>) -> u32 {
    table.fold(0, |sum: u32, index| sum.wrapping_mul(31).wrapping_add(result(all[index].0, all[index].1)))
}

fn put(folder: &Path, name: &str, fill: impl FnOnce(&mut Unit) -> Result<()>) -> Result<()> {
    let mut unit = Unit::new();
    fill(&mut unit)?;
    let path = folder.join(name);
    std::fs::write(&path, unit.finish()?).map_err(|e| format!("{}: {e}", path.display()))
}

/// 0, 1, ... 9, 0, 1, ...: a `cycle` that knows its length.
struct Cycle {
    next: usize,
    left: usize,
}

impl Iterator for Cycle {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        self.left = self.left.checked_sub(1)?;
        let number = self.next;
        self.next = (number + 1) % 10;
        Some(number)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Cycle {}
