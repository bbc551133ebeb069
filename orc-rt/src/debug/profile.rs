//! One image told to profilers: what each of them wants, taken from its description and from its memory.
//!
//! You give a description and the image as it was registered; you get told whoever is to be ([`tell`]). **Invariant:** memory is only read where the image has said that it is,
//! whatever the description says. Not for debuggers, which read the description's file as it is.
//!
//! `unsafe` because code and unwind tables are read by address.
#![allow(unsafe_code)]

use super::frames::{DebugFrame, Frames};
use super::jitdump::{self, Lines};
use super::valgrind::Mapped;
use super::{Description, Function, Watchers, elf, perf_map, valgrind};
use crate::memory::Slab;
use std::ops::Range;

/// An image, as it was registered.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Linked<'a> {
    /// Its addresses.
    pub(crate) ranges: &'a [Range<u64>],
    /// Address and size of its `.eh_frame`.
    pub(crate) table: Option<(u64, u64)>,
    /// Where its memory is from.
    pub(crate) slab: &'a Slab,
}

impl<'a> Linked<'a> {
    /// The bytes of `size` at `address`, if the image has them.
    ///
    /// # Safety
    /// The image is final, and its memory stays while the result is used.
    unsafe fn bytes(&self, address: u64, size: u64) -> Option<&'a [u8]> {
        let end = address.checked_add(size)?;
        self.ranges.iter().find(|range| range.start <= address && end <= range.end)?;
        let start = std::ptr::with_exposed_provenance(address as usize);
        // SAFETY: the range lies in the image (found), whose memory is readable, final and stays (the caller's promise).
        Some(unsafe { std::slice::from_raw_parts(start, usize::try_from(size).ok()?) })
    }
}

/// Tells profilers of an image. What comes back is kept until the image goes.
///
/// # Safety
/// It is final, and its memory stays meanwhile.
pub(crate) unsafe fn tell(watchers: Watchers, description: &Description, image: &Linked<'_>) -> Vec<Mapped> {
    let mut mapped = Vec::new();
    // SAFETY: the caller's promise.
    let functions =
        description.functions.iter().filter_map(|it| Some((it, unsafe { image.bytes(it.address, it.size) }?)));
    if watchers.contains(Watchers::PERF_MAP) {
        perf_map::add(functions.clone().map(|(it, _)| (it.address, it.size, it.name.as_str())));
    }
    if !watchers.intersects(Watchers::JITDUMP | Watchers::VALGRIND) {
        return mapped;
    }
    // SAFETY: as above.
    let table = image.table.and_then(|(address, size)| Some((unsafe { image.bytes(address, size) }?, address)));
    let frames = table.map_or_else(Frames::default, |(bytes, address)| Frames::new(bytes, address));
    if watchers.contains(Watchers::JITDUMP) {
        jitdump::add(functions.map(|(it, code)| jitdump::Function {
            address: it.address,
            name: &it.name,
            code,
            frame: frames.of(it.address),
            lines: Lines { lines: &it.lines, paths: &description.paths },
        }));
    }
    if watchers.contains(Watchers::VALGRIND) {
        let page = crate::sys::page_size();
        for range in image.ranges {
            let inside = || description.functions.iter().filter(|it| range.contains(&it.address));
            if inside().next().is_none() {
                continue;
            }
            // SAFETY: as above; what the range has of its last pages is the image's alone, since memory is given out in pages.
            match unsafe { tell_valgrind(range, page, inside(), &frames, description, image.slab) } {
                Ok(one) => mapped.push(one),
                Err(error) => {
                    tracing::warn!(%error, "{}: valgrind does not learn the names of its functions", description.name);
                }
            }
        }
    }
    mapped
}

/// # Safety
/// `range` is final code of the slab, with the pages that it begins and ends in.
unsafe fn tell_valgrind<'a>(
    range: &Range<u64>,
    page: u64,
    functions: impl Iterator<Item = &'a Function> + Clone,
    frames: &Frames<'_>,
    description: &Description,
    slab: &Slab,
) -> std::io::Result<Mapped> {
    let pages = range.start / page * page..range.end.next_multiple_of(page);
    let start = std::ptr::with_exposed_provenance(pages.start as usize);
    // SAFETY: the caller's promise.
    let code: &[u8] = unsafe { std::slice::from_raw_parts(start, (pages.end - pages.start) as usize) };
    let mut section = DebugFrame::default();
    for function in functions.clone() {
        if let Some(frame) = frames.of(function.address) {
            section.push(function.address, function.size, &frame);
        }
    }
    let symbols = functions.map(|it| (it.address, it.size, it.name.as_str()));
    let file = elf::image(pages.start, code, page, symbols, section, &description.file);
    // SAFETY: the file holds the bytes that were just read, which are final.
    unsafe { valgrind::tell(slab, pages.start, &file, &description.name) }
}
