//! Data of shared libraries for code that can only name addresses below 2 GiB.
//!
//! You name variables of shared libraries by address and size; each moves to low memory, and everybody finds it there from then on: the
//! code that asked, the libraries, later lookups, libraries that are loaded later. It is what an ahead-of-time linker does with a *copy
//! relocation* (`COPY` in the x86-64 psABI) for code that is not position-independent (`-fno-pic`, the small model) and refers to `stdout` or
//! `std::cout`; here the libraries are running already. Not for functions (they have stubs) nor thread-local variables.
//!
//! # How
//!
//! 1. The bytes are copied to memory below 2 GiB, which stays until the process ends: libraries point to it. All sessions share it. What could
//!    not be written at the old place (virtual tables, type information) cannot be at the new one.
//! 2. The entry in the symbol table of the library that defines it gets the new address, as does that of each alias (`environ`,
//!    `__environ`). So whatever the system's loader looks up later (dlsym(3), relocations of libraries that are opened later, before
//!    their initializers) finds the copy, and no lookup of ours has to know.
//! 3. Every word of every loaded object into which the loader has stored the address (slots of global offset tables, pointers in
//!    data, entries of virtual tables), and the image of such a word in a copy, gets the new address.
//! 4. Words that hold such an address without the loader's doing are found by looking: in writable copies (an object's
//!    pointers to itself), in the writable data of loaded objects (`std::cin` is tied to `std::cout`; a library's initializer has stored
//!    `&std::cout`), and in the data of images that this session has linked before. An aligned word that is equal to an address inside of the
//!    old object is taken for a pointer to it.
//! 5. Words of the old place that changed between 1 and 3 are carried over.
//!
//! Pages that are read-only become writable for the moment of the change, never executable with it.
//!
//! # What can be moved, what cannot
//!
//! Tested: pointers of C (`stdout`, `environ`, `optarg`) and other plain data, virtual tables, type information, the standard streams.
//!
//! Refused, with the reason: writable data that its own library refers to without asking the loader, since both places would be
//! written. That is the executable's own data (copies that it was linked with included), protected symbols, and libraries linked with
//! `-Bsymbolic`. Read-only data of such libraries is copied all the same: two equal places do not matter.
//!
//! Not found, and hence still pointing to the old place, whose bytes stay:
//! - Pointers on stacks, on the heap, in registers, in thread-local variables. An ahead-of-time linker does not have this problem: its
//!   copies are made before the first initializer runs. Hence take copies early; code that is linked before the program starts does.
//! - References by hidden aliases inside of the library. Libraries whose data non-PIC programs may use have none: ahead of time
//!   they would be as wrong.
//! - Virtual pointers of objects that exist already. They are as good: the old table stays and is equal.
//! - Code of other images, linked earlier, that refers to the object relative to itself (`-fPIE`), and images of other sessions.
//!
//! Other threads must not write to an object while it moves: step 5 only makes the loss of a write unlikely. Nor should libraries be opened meanwhile.
//!
//! `unsafe` because all of this reads and changes memory of libraries.
#![allow(unsafe_code)]

mod area;
mod plan;

use crate::image;
use crate::memory::Prot;
use crate::session::Session;
use crate::sync::leaf::RwLock;
use crate::sys::loaded;
use area::Area;
use std::collections::BTreeMap;
use std::ffi::CString;
use std::io;
use std::ops::Range;

/// Data of a shared library, as [`NativeSymbol`](crate::native::NativeSymbol) describes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DataRequest {
    /// Where it is.
    pub address: u64,
    /// Its size in bytes.
    pub size: u64,
}

/// Why data stays where it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CopyError {
    /// Nothing says how much to copy.
    #[error("its size is not known")]
    UnknownSize,
    /// It is not data of a shared library.
    #[error("it does not lie in a shared library")]
    NotInALibrary,
    /// Its library would go on using the old place.
    #[error("{library} writes to it without asking the dynamic loader where it is")]
    Bound {
        /// The library.
        library: String,
    },
    /// A part of it has moved before, as an object of its own.
    #[error("a part of it has been copied before")]
    PartlyMoved,
    /// Some reference to it cannot be changed.
    #[error("{library} refers to it from a page that holds code")]
    InCode {
        /// The library.
        library: String,
    },
    /// The system refuses memory or a change of protection.
    #[error("{doing}: {reason}")]
    System {
        /// What was tried.
        doing: &'static str,
        /// The system's words.
        reason: String,
    },
}

impl CopyError {
    fn system(doing: &'static str) -> impl Fn(io::Error) -> Self {
        move |error| Self::System { doing, reason: error.to_string() }
    }
}

/// An object that has a new place.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Move {
    old: u64,
    size: u64,
    new: u64,
    writable: bool,
}

impl Move {
    /// The new address of what was at `address`.
    fn apply(&self, address: u64) -> Option<u64> {
        let offset = address.checked_sub(self.old)?;
        (offset < self.size).then_some(self.new + offset)
    }
}

/// The move in `moves` (ascending) that covers `address`, and the new address.
fn moved(moves: &[Move], address: u64) -> Option<(u64, &Move)> {
    let after = moves.partition_point(|one| one.old <= address);
    let one = moves[..after].last()?;
    Some((one.apply(address)?, one))
}

/// Everything that has moved in this process.
#[derive(Debug)]
struct Copies {
    /// By old address.
    moves: Vec<Move>,
    /// End of each copy, by its beginning.
    ends: BTreeMap<u64, u64>,
    writable: Area,
    read_only: Area,
}

static COPIES: RwLock<Copies> = RwLock::new(Copies {
    moves: Vec::new(),
    ends: BTreeMap::new(),
    writable: Area::new(Prot::READ.union(Prot::WRITE)),
    read_only: Area::new(Prot::READ),
});

/// How many bytes of a copy lie at `address`, if any do.
pub(crate) fn size_at(address: u64) -> Option<u64> {
    if address >= 1 << 31 {
        return None;
    }
    let copies = COPIES.read();
    let (_, &end) = copies.ends.range(..=address).next_back()?;
    end.checked_sub(address).filter(|size| *size > 0)
}

impl Session {
    /// Moves data of shared libraries below 2 GiB, for good; answers where each object is now. What has moved before is
    /// found at its old and at its new address.
    ///
    /// # Errors
    /// For each object: why it stays where it is. Nothing about it has changed then.
    ///
    /// # Safety
    /// Each request is what the symbol table of a library says of an object. No other thread writes to these objects or unloads images of this
    /// session during the call, and nobody relies on pointers to the old place that [are not found](crate::copies).
    pub unsafe fn copy_data(&self, requests: &[DataRequest]) -> Vec<Result<u64, CopyError>> {
        let mut copies = COPIES.write();
        let images = image::ranges_of(self);
        let outcome = loaded::with_all(|objects| {
            copies.read_only.unseal().map_err(CopyError::system("cannot write copies"))?;
            let outcome = copies.add(objects, requests, &images);
            if let Err(error) = copies.read_only.seal() {
                tracing::warn!(%error, "copies of read-only data stay writable");
            }
            outcome
        });
        let Some(outcome) = outcome else { return vec![Err(CopyError::NotInALibrary); requests.len()] };
        match outcome {
            Ok((answers, libraries)) => {
                libraries.iter().for_each(|name| loaded::pin(name));
                answers
            }
            Err(error) => vec![Err(error); requests.len()],
        }
    }
}

/// Answers, and the libraries whose data has moved.
type Added = (Vec<Result<u64, CopyError>>, Vec<CString>);

impl Copies {
    fn add(
        &mut self,
        objects: &[loaded::Object],
        requests: &[DataRequest],
        images: &[Range<u64>],
    ) -> Result<Added, CopyError> {
        let maps = crate::sys::mappings().map_err(CopyError::system("cannot read the list of mappings"))?;
        let mut judged = self.judge(objects, &maps, requests);
        for one in judged.iter_mut().filter_map(|(_, verdict)| verdict.as_mut().ok()) {
            let area = if one.writable { &mut self.writable } else { &mut self.read_only };
            // As aligned as it was, as far as that may be more than chance: a cache line.
            let align = 1 << one.old.trailing_zeros().min(6);
            one.new = area.take(one.size, align).map_err(CopyError::system("no memory below 2 GiB"))?;
        }
        let moves: Vec<Move> = judged.iter().filter_map(|(_, verdict)| verdict.clone().ok()).collect();
        let plan = plan::Plan::new(self, &moves, objects, &maps, images)?;

        let snapshots: Vec<Vec<u8>> = moves
            .iter()
            // SAFETY: the range lies in a readable segment of an object that is loaded.
            .map(|one| unsafe { loaded::snapshot(one.old..one.old + one.size) })
            .collect();
        for (one, bytes) in moves.iter().zip(&snapshots) {
            let area = if one.writable { &mut self.writable } else { &mut self.read_only };
            area.write(one.new, bytes);
        }
        plan.carry_out()?;
        for (one, before) in moves.iter().zip(&snapshots).filter(|(one, _)| one.writable) {
            carry_over(one, before);
        }

        let libraries = objects.iter().filter(|object| !object.program);
        let touched = libraries.filter(|object| moves.iter().any(|one| object.contains(&(one.old..one.old + 1))));
        let touched = touched.map(|object| object.name.clone()).collect();
        for one in moves {
            self.ends.insert(one.new, one.new + one.size);
            let at = self.moves.partition_point(|other| other.old < one.old);
            self.moves.insert(at, one);
        }
        let answer = |request: &DataRequest| {
            if size_of_copy(&self.ends, request.address) {
                return Ok(request.address);
            }
            if let Some((new, _)) = moved(&self.moves, request.address) {
                return Ok(new);
            }
            let after = judged.partition_point(|(range, _)| range.start <= request.address);
            let refused = judged[..after].last().filter(|(range, _)| range.contains(&request.address));
            Err(refused.and_then(|(_, verdict)| verdict.clone().err()).unwrap_or(CopyError::UnknownSize))
        };
        Ok((requests.iter().map(answer).collect(), touched))
    }

    /// The objects that are to move: requests that overlap are one object. Their new places are not known yet.
    fn judge(
        &self,
        objects: &[loaded::Object],
        maps: &[crate::sys::Mapping],
        requests: &[DataRequest],
    ) -> Vec<(Range<u64>, Result<Move, CopyError>)> {
        let known = |address| moved(&self.moves, address).is_some() || size_of_copy(&self.ends, address);
        let wanted = requests.iter().filter(|request| request.size > 0 && !known(request.address));
        let mut ranges: Vec<Range<u64>> =
            wanted.map(|request| request.address..request.address.saturating_add(request.size)).collect();
        ranges.sort_unstable_by_key(|range| range.start);
        ranges.dedup_by(|next, range| {
            let same = next.start < range.end;
            if same {
                range.end = range.end.max(next.end);
            }
            same
        });
        let mut judged: Vec<(Range<u64>, Result<Move, CopyError>)> = Vec::with_capacity(ranges.len());
        for range in ranges {
            let object = objects.iter().find(|object| object.contains(&range));
            let mapping = plan::mapping_of(maps, range.start);
            let next = self.moves.partition_point(|one| one.old < range.start);
            let verdict = match (object, mapping) {
                _ if self.moves.get(next).is_some_and(|one| one.old < range.end) => Err(CopyError::PartlyMoved),
                (Some(object), Some(mapping)) => {
                    let writable = mapping.prot.contains(Prot::WRITE);
                    if writable && (object.program || object.symbolic) {
                        Err(plan::bound(object))
                    } else {
                        Ok(Move { old: range.start, size: range.end - range.start, new: 0, writable })
                    }
                }
                _ => Err(CopyError::NotInALibrary),
            };
            judged.push((range, verdict));
        }
        refuse_protected(objects, &mut judged);
        judged
    }
}

fn size_of_copy(ends: &BTreeMap<u64, u64>, address: u64) -> bool {
    ends.range(..=address).next_back().is_some_and(|(_, end)| address < *end)
}

/// Refuses writable objects of protected symbols, which their library refers to directly.
fn refuse_protected(objects: &[loaded::Object], judged: &mut [(Range<u64>, Result<Move, CopyError>)]) {
    for object in objects {
        if !judged.iter().any(|(range, _)| object.contains(range)) {
            continue;
        }
        for entry in (0..object.entry_count()).filter_map(|number| object.entry(number)).filter(|entry| entry.protected)
        {
            let after = judged.partition_point(|(range, _)| range.start <= entry.address);
            let Some((range, verdict)) = judged[..after].last_mut() else { continue };
            if range.contains(&entry.address) && verdict.as_ref().is_ok_and(|one| one.writable) {
                *verdict = Err(plan::bound(object));
            }
        }
    }
}

/// Writes that met the old place after its bytes were read.
fn carry_over(one: &Move, before: &[u8]) {
    // SAFETY: as for the first time.
    let after = unsafe { loaded::snapshot(one.old..one.old + one.size) };
    let words = before.chunks_exact(8).zip(after.chunks_exact(8)).enumerate();
    for (index, (before, after)) in words.filter(|(_, (before, after))| before != after) {
        let word = |bytes: &[u8]| bytes.try_into().map_or(0, u64::from_ne_bytes);
        // SAFETY: a word of the copy, which is writable; if somebody has written to it there, that is newer.
        unsafe { loaded::exchange(one.new + 8 * index as u64, word(before), word(after)) };
    }
}
