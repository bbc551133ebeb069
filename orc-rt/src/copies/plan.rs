//! Which words change when objects move, and the change itself: all of them, or none.
//!
//! `unsafe` because words of libraries are read and changed; each was found in a readable segment, and its page is made writable first.
#![allow(unsafe_code)]

use super::{Copies, CopyError, Move, moved};
use crate::memory::Prot;
use crate::sys::loaded::{self, Object};
use crate::sys::{self, Mapping};
use std::ops::Range;

/// A word that gets another value, if it still has the one that was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Change {
    at: u64,
    from: u64,
    to: u64,
}

/// Everything that changes, in the order in which it does.
#[derive(Debug)]
pub(super) struct Plan {
    changes: Vec<Change>,
    /// Read-only pages among them, and what they are to be again.
    pages: Vec<(Range<u64>, Prot)>,
}

/// The mapping that covers `address`.
pub(super) fn mapping_of(maps: &[Mapping], address: u64) -> Option<&Mapping> {
    let after = maps.partition_point(|mapping| mapping.range.start <= address);
    maps[..after].last().filter(|mapping| address < mapping.range.end)
}

pub(super) fn bound(object: &Object) -> CopyError {
    CopyError::Bound { library: name_of(object) }
}

fn name_of(object: &Object) -> String {
    if object.program { "the program".to_owned() } else { object.name.to_string_lossy().into_owned() }
}

impl Plan {
    /// `moves` have their places; the bytes are not there yet.
    pub(super) fn new(
        copies: &Copies,
        moves: &[Move],
        objects: &[Object],
        maps: &[Mapping],
        images: &[Range<u64>],
    ) -> Result<Self, CopyError> {
        let mut plan = Self { changes: Vec::new(), pages: Vec::new() };
        if moves.is_empty() {
            return Ok(plan);
        }
        let copied = |address| moved(moves, address).or_else(|| moved(&copies.moves, address)).map(|(new, _)| new);
        // The copies themselves are right before anybody is led to them.
        let filled: Vec<Vec<Change>> = objects.iter().map(|object| filled(object, moves)).collect();
        plan.changes
            .extend(filled.iter().flatten().filter_map(|change| Some(Change { at: copied(change.at)?, ..*change })));
        let own_words =
            moves.iter().filter(|one| one.writable).flat_map(|one| pointers(one.old..one.old + one.size, moves));
        plan.changes.extend(own_words.filter_map(|change| Some(Change { at: copied(change.at)?, ..change })));
        for range in copies.writable.ranges() {
            // New pieces are still zero.
            plan.changes.extend(pointers(range, moves));
        }
        // Then whoever looks the objects up, then those who have.
        let own = plan.changes.len();
        for object in objects {
            plan.changes.extend(entries(object, moves));
            plan.unlock(object, maps, own)?;
        }
        for (object, filled) in objects.iter().zip(filled) {
            let from = plan.changes.len();
            plan.changes.extend(filled);
            plan.unlock(object, maps, from)?;
        }
        // Then those who keep it somewhere. Two equal read-only objects are as good as one, so only for the others all is searched.
        let search = moves.iter().any(|one| one.writable);
        for segment in objects.iter().filter(|_| search).flat_map(Object::segments) {
            let writable = parts(maps, segment, |prot| prot.contains(Prot::READ | Prot::WRITE));
            // What moves is read through its copy from now on.
            let stays = |change: &Change| moved(moves, change.at).is_none();
            plan.changes.extend(writable.flat_map(|(part, _)| pointers(part, moves)).filter(stays));
        }
        for image in images {
            for (part, prot) in parts(maps, image, |prot| prot.contains(Prot::READ) && !prot.contains(Prot::EXEC)) {
                for change in pointers(part, moves) {
                    plan.changes.push(change);
                    if !prot.contains(Prot::WRITE) {
                        plan.lift(change.at, prot);
                    }
                }
            }
        }
        plan.pages.sort_unstable_by_key(|(range, _)| range.start);
        plan.pages.dedup_by(|next, range| {
            let joined = next.0.start <= range.0.end && next.1 == range.1;
            if joined {
                range.0.end = range.0.end.max(next.0.end);
            }
            joined
        });
        Ok(plan)
    }

    /// Sees to it that the pages of the changes after the first `from` will be writable.
    fn unlock(&mut self, object: &Object, maps: &[Mapping], from: usize) -> Result<(), CopyError> {
        for index in from..self.changes.len() {
            let at = self.changes[index].at;
            // A word that is not aligned may lie on two pages.
            for byte in [at, at + 7] {
                match mapping_of(maps, byte).map(|mapping| mapping.prot) {
                    Some(prot) if prot.contains(Prot::WRITE) => {}
                    Some(prot) if prot.contains(Prot::READ) && !prot.contains(Prot::EXEC) => self.lift(byte, prot),
                    _ => return Err(CopyError::InCode { library: name_of(object) }),
                }
            }
        }
        Ok(())
    }

    fn lift(&mut self, at: u64, prot: Prot) {
        let page = sys::page_size();
        let start = at & !(page - 1);
        if self.pages.last().is_none_or(|(range, _)| !range.contains(&at)) {
            self.pages.push((start..start + page, prot));
        }
    }

    /// Does it.
    pub(super) fn carry_out(&self) -> Result<(), CopyError> {
        for (done, (range, prot)) in self.pages.iter().enumerate() {
            // SAFETY: the pages were readable and not executable, and stay readable.
            let lifted = unsafe { loaded::protect(range.clone(), *prot | Prot::WRITE) };
            if let Err(error) = lifted {
                self.lock(done);
                return Err(CopyError::system("cannot change what libraries refer to")(error));
            }
        }
        for change in &self.changes {
            // SAFETY: the word lies in a copy, in writable data or on a page that was made writable above. It holds the address of an
            // object that has moved (or, in a symbol table, its offset), whose copy is as good.
            unsafe { loaded::exchange(change.at, change.from, change.to) };
        }
        self.lock(self.pages.len());
        Ok(())
    }

    /// Gives the first `count` of the pages back what they had.
    fn lock(&self, count: usize) {
        for (range, prot) in &self.pages[..count] {
            // SAFETY: that is what everybody has relied on before.
            if let Err(error) = unsafe { loaded::protect(range.clone(), *prot) } {
                tracing::warn!(%error, address = range.start, "pages of a library stay writable");
            }
        }
    }
}

/// Words of `object` that the loader has filled with the address of an object that moves.
fn filled(object: &Object, moves: &[Move]) -> Vec<Change> {
    let mut changes = Vec::new();
    for word in object.filled() {
        // SAFETY: the word lies in a readable segment of a loaded object.
        let value = unsafe { loaded::load(word.place) };
        let Some((new, one)) = moved(moves, value.wrapping_sub(word.addend as u64)) else { continue };
        // A label at the end of what comes before, or at the beginning of a section, is not the object.
        let entry = object.entry(word.symbol);
        if entry.is_some_and(|entry| entry.address != 0 && !entry.data && entry.address == one.old) {
            continue;
        }
        changes.push(Change { at: word.place, from: value, to: new.wrapping_add(word.addend as u64) });
    }
    changes
}

/// Entries of the symbol table of `object` that define an object that moves, or a part of it.
fn entries<'a>(object: &'a Object, moves: &'a [Move]) -> impl Iterator<Item = Change> + 'a {
    let concerned = moves.iter().any(|one| object.contains(&(one.old..one.old + 1)));
    let count = if concerned { object.entry_count() } else { 0 };
    (0..count).filter_map(move |number| {
        let entry = object.entry(number).filter(|entry| entry.data)?;
        let (new, _) = moved(moves, entry.address)?;
        Some(Change { at: entry.value_at, from: entry.value, to: object.value_for(new) })
    })
}

/// Aligned words of `range`, which is readable, that are equal to an address in an object that moves.
fn pointers(range: Range<u64>, moves: &[Move]) -> impl Iterator<Item = Change> + '_ {
    let first = moves.first().map_or(0, |one| one.old);
    let end = moves.last().map_or(0, |one| one.old + one.size);
    let words = (range.start.next_multiple_of(8)..range.end & !7).step_by(8);
    words.filter_map(move |at| {
        // SAFETY: the callers pass readable memory.
        let value = unsafe { loaded::load(at) };
        if value < first || value >= end {
            return None;
        }
        moved(moves, value).map(|(new, _)| Change { at, from: value, to: new })
    })
}

/// The parts of `range` whose mappings satisfy `wanted`.
fn parts<'a>(
    maps: &'a [Mapping],
    range: &'a Range<u64>,
    wanted: impl Fn(Prot) -> bool + 'a,
) -> impl Iterator<Item = (Range<u64>, Prot)> + 'a {
    let first = maps.partition_point(|mapping| mapping.range.end <= range.start);
    let meeting = maps[first..].iter().take_while(|mapping| mapping.range.start < range.end);
    let meeting = meeting.filter(move |mapping| wanted(mapping.prot));
    meeting.map(|mapping| (mapping.range.start.max(range.start)..mapping.range.end.min(range.end), mapping.prot))
}
