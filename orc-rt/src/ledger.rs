//! Every registration of every image, in one place.
//!
//! What was registered for an image is undone with it, in reverse order; a test can ask [`Session::ledger`](crate::Session::ledger) after an unload and finds nothing.

use crate::debug::valgrind::Mapped;
use crate::debug::{Description, Told, Watchers};
use crate::image::{self, Image, ImageId, ImageInfo, Overlap};
use crate::sync::Arc;
use crate::tls::{ThreadLocal, TlsError};
use crate::unwind::{Frames, UnwindError};
use dylib_graph::DylibId;
use std::collections::BTreeMap;
use std::ops::Range;

/// What the process was told about an image.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Registration {
    /// These addresses are attributed to the image.
    Addresses(Vec<Range<u64>>),
    /// This `__dso_handle` is attributed to the image's dylib.
    DsoHandle(u64),
    /// The unwinder knows the table at this address, of this size in bytes.
    UnwindTable(u64, u64),
    /// The image's thread-local storage is there, in every thread.
    ThreadLocal(ThreadLocal),
    /// Debuggers see the image in their list, as a file of so many bytes.
    Debugger(u64),
    /// These know the image.
    Profilers(Watchers),
    /// So many exit handlers of the dylib are waiting to run.
    ExitHandlers(usize),
}

/// A line of the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerEntry {
    /// Which image; `None` for what belongs to the dylib as a whole.
    pub image: Option<ImageId>,
    /// Which dylib.
    pub dylib: DylibId,
    /// What is registered.
    pub registration: Registration,
}

/// Why an image was refused. Nothing of it is registered then.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImageError {
    /// Its addresses are taken.
    #[error(transparent)]
    Overlap(#[from] Overlap),
    /// Its unwind table was refused.
    #[error("image of {name}: {source}")]
    Unwind {
        /// Name of the dylib.
        name: String,
        /// Why.
        source: UnwindError,
    },
    /// Its thread-local storage cannot be initialized.
    #[error("image of {name}: {source}")]
    ThreadLocal {
        /// Name of the dylib.
        name: String,
        /// Why.
        source: TlsError,
    },
    /// Its slots are outside of it.
    #[error("image of {name}: the slots at {:#x}..{:#x} lie outside of the image", slots.start, slots.end)]
    SlotsOutside {
        /// Name of the dylib.
        name: String,
        /// Where they were said to be.
        slots: Range<u64>,
    },
    /// Its unwind table is outside of it.
    #[error("image of {name}: .eh_frame at {address:#x} ({size:#x} bytes) lies outside of the image")]
    UnwindOutside {
        /// Name of the dylib.
        name: String,
        /// First byte of the table.
        address: u64,
        /// Its size in bytes.
        size: u64,
    },
}

#[derive(Debug)]
struct Record {
    image: Arc<Image>,
    ranges: Vec<Range<u64>>,
    dso_handle: u64,
    thread_local: Option<ThreadLocal>,
    slots: Range<u64>,
    /// Dropping it tells the unwinder.
    frames: Option<Frames>,
    /// Dropping it tells debuggers and profilers.
    told: Told,
}

/// The images of one session.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    records: BTreeMap<ImageId, Record>,
}

impl Ledger {
    /// Registers what the process must know before code of the image runs. `tell_unwinder` gets address and size of a table that lies in the image, and the image's ranges.
    pub(crate) fn register(
        &mut self,
        image: &Arc<Image>,
        info: ImageInfo,
        tell_unwinder: impl FnOnce(u64, u64, &[Range<u64>]) -> Result<Frames, UnwindError>,
    ) -> Result<(), ImageError> {
        let ImageInfo { name, ranges, dso_handle, eh_frame, thread_local, slots, .. } = info;
        let thread_local = thread_local.map(|content| content.place);
        if let Some((address, size)) = eh_frame {
            let inside = |range: &Range<u64>| {
                range.start <= address && address.checked_add(size).is_some_and(|end| end <= range.end)
            };
            if !ranges.iter().any(inside) {
                return Err(ImageError::UnwindOutside { name, address, size });
            }
        }
        let lie_inside = ranges.iter().any(|range| range.start <= slots.start && slots.end <= range.end);
        if !slots.is_empty() && !lie_inside {
            return Err(ImageError::SlotsOutside { name, slots });
        }
        image::add(image, &ranges, dso_handle)?;
        let frames = eh_frame.map(|(address, size)| tell_unwinder(address, size, &ranges));
        let frames = match frames.transpose() {
            Ok(frames) => frames,
            Err(source) => {
                image::remove(image, &ranges, dso_handle);
                return Err(ImageError::Unwind { name, source });
            }
        };
        let image = Arc::clone(image);
        self.records
            .insert(image.id, Record { image, ranges, dso_handle, thread_local, slots, frames, told: Told::default() });
        Ok(())
    }

    /// The dylib and the addresses of an image.
    pub(crate) fn find(&self, image: ImageId) -> Option<(DylibId, &[Range<u64>])> {
        self.records.get(&image).map(|record| (record.image.dylib, record.ranges.as_slice()))
    }

    /// Tells `watchers` of an image what they have not been told, if it is still registered.
    /// `profile` tells profilers, of the image at its addresses and with its unwind table.
    pub(crate) fn describe(
        &mut self,
        watchers: Watchers,
        mut description: Description,
        profile: impl FnOnce(Watchers, &Description, &[Range<u64>], Option<(u64, u64)>) -> Vec<Mapped>,
    ) {
        if let Some(record) = self.records.get_mut(&ImageId(description.image)) {
            description.fill_in(record.frames.as_ref().map(Frames::bytes));
            let (ranges, table) = (&record.ranges, record.frames.as_ref().map(Frames::table));
            record.told.tell(watchers, description, |new, description| profile(new, description, ranges, table));
        }
    }

    /// Puts what only the executor has into the file of a description, if its image is still registered.
    pub(crate) fn fill_in(&self, description: &mut Description) {
        if let Some(record) = self.records.get(&ImageId(description.image)) {
            description.fill_in(record.frames.as_ref().map(Frames::bytes));
        }
    }

    /// Where the slots of an image are.
    pub(crate) fn slots(&self, image: ImageId) -> Option<Range<u64>> {
        self.records.get(&image).map(|record| record.slots.clone())
    }

    /// Undoes everything that was registered for `image`; says whether it was there.
    pub(crate) fn release(&mut self, image: ImageId) -> bool {
        let Some(record) = self.records.remove(&image) else { return false };
        let Record { image, ranges, dso_handle, frames, told, .. } = record;
        drop(told);
        drop(frames);
        image::remove(&image, &ranges, dso_handle);
        true
    }

    /// Undoes everything.
    pub(crate) fn release_all(&mut self) {
        while let Some((&image, _)) = self.records.last_key_value() {
            self.release(image);
        }
    }

    /// What is registered now.
    pub(crate) fn entries(&self) -> Vec<LedgerEntry> {
        let mut entries = Vec::new();
        for (&image, record) in &self.records {
            let mut add = |registration| {
                entries.push(LedgerEntry { image: Some(image), dylib: record.image.dylib, registration });
            };
            add(Registration::Addresses(record.ranges.clone()));
            if record.dso_handle != 0 {
                add(Registration::DsoHandle(record.dso_handle));
            }
            if let Some(place) = record.thread_local {
                add(Registration::ThreadLocal(place));
            }
            if !record.told.profilers.is_empty() {
                add(Registration::Profilers(record.told.profilers));
            }
            if let Some(shown) = &record.told.debugger {
                add(Registration::Debugger(shown.size()));
            }
            if let Some((address, size)) = record.frames.as_ref().map(Frames::table) {
                add(Registration::UnwindTable(address, size));
            }
        }
        entries
    }
}
