//! Taking part of a dylib out while the rest stays: the images of some of its inputs.
//!
//! You name images; what they have set up is undone as a close would undo it, on this thread, without a lock: destructors of this thread's
//! thread-local objects, then exit handlers and finalizers in the exact reverse of what completed (rule 19, for images). Initializers that have
//! not run are forgotten. Then the controller hears that the memory may go; it waits for whoever is inside. **Not here:** who still needs
//! the images. The controller knows, and does not ask for what somebody needs.
//!
//! `unsafe` because finalizers, handlers and slots are addresses; the promise of [`Session::new`](crate::Session::new) covers them.
#![allow(unsafe_code)]

use crate::atexit::Handler;
use crate::call;
use crate::context::Running;
use crate::dlfcn::DlError;
use crate::image::ImageId;
use crate::keepalive::Keepalive;
use crate::service::{InitArray, tag};
use crate::session::{DylibState, Session};
use crate::sync::Arc;
use crate::tls;
use crate::waits::Activity;
use dylib_graph::{DylibId, Status};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

/// Why images could not be taken out, or slots not be written. Nothing has changed then.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RemoveError {
    /// There is no such image.
    #[error("{image} is not registered")]
    NoImage {
        /// The number that was given.
        image: ImageId,
    },
    /// An open, an update or a close is running code of the dylib.
    #[error("nothing can be removed from JITDylib {name} while it is being opened, updated or closed")]
    Busy {
        /// Its name.
        name: String,
    },
    /// The session is shut down, or a resolver asks.
    #[error(transparent)]
    Refused(#[from] DlError),
    /// An address that no image has declared as a slot.
    #[error("{address:#x} is not the slot of a stub")]
    NoSlot {
        /// The address.
        address: u64,
    },
}

impl Session {
    /// Takes images out: undoes what they have set up, then tells the controller ([`tag::REMOVED`]), at once or when the last one inside has
    /// left. An exception that leaves a handler or finalizer passes on; the rest is undone nevertheless.
    ///
    /// # Errors
    /// One is not registered, or its dylib is being opened or closed. Nothing has changed then.
    pub fn remove_images(self: &Arc<Self>, images: &[ImageId]) -> Result<(), RemoveError> {
        if images.is_empty() {
            return Ok(());
        }
        // No plan is on its way meanwhile that names their arrays.
        let planning = self.plan_lock()?;
        let going = Going::new(self, images)?;
        let undo = self.take_what_they_set_up(&going)?;
        drop(planning);
        undo.drive();
        Ok(())
    }

    fn take_what_they_set_up(self: &Arc<Self>, going: &Going) -> Result<Removal, RemoveError> {
        let mut state = self.lock();
        for dylib in going.dylibs() {
            if matches!(state.loader.status(dylib), Status::Pending | Status::Running(_) | Status::Unloading(_)) {
                return Err(RemoveError::Busy { name: state.name(dylib).to_owned() });
            }
        }
        let inside =
            going.dylibs().map(|dylib| self.enter(dylib, None, Activity::Finalizes)).collect::<Option<Vec<_>>>();
        let inside = inside.ok_or(DlError::ShutDown)?;
        let mut finalizers = Vec::new();
        for dylib in going.dylibs() {
            if let Some(known) = state.dylibs.get_mut(dylib.index()) {
                take_arrays(known, going, &mut finalizers);
            }
        }
        // The latest is taken from the end.
        finalizers.sort_unstable_by_key(|(number, _)| *number);
        drop(state);
        Ok(Removal {
            session: Arc::clone(self),
            going: going.clone(),
            inside,
            finalizers,
            handlers: BTreeMap::new(),
            registrations: None,
        })
    }

    /// Writes the slots of stubs, each in one store: whoever calls through a stub gets the old function or the new one.
    ///
    /// # Errors
    /// One address is not that of a slot. None is written then.
    pub fn write_slots(&self, slots: &[(u64, u64)]) -> Result<(), RemoveError> {
        // Held while they are written, so that their images stay.
        let ledger = self.ledger.lock();
        let word = size_of::<u64>() as u64;
        for &(address, _) in slots {
            let known = self.image_at(address).and_then(|image| ledger.slots(image));
            let inside = |slots: Range<u64>| slots.start <= address && address + word <= slots.end;
            if !address.is_multiple_of(word) || !known.is_some_and(inside) {
                return Err(RemoveError::NoSlot { address });
            }
        }
        for &(address, value) in slots {
            let slot = std::ptr::with_exposed_provenance_mut::<u64>(address as usize);
            // SAFETY: a slot of a registered image, as just checked: aligned, writable and used by nobody but stubs.
            unsafe { AtomicU64::from_ptr(slot) }.store(value, Ordering::Release);
        }
        Ok(())
    }

    /// Runs what is new in a dylib that is loaded, as an update does, whether somebody has it open or it is kept by others. Nothing is done for
    /// one that is not loaded: its next open runs all of it.
    ///
    /// # Errors
    /// As [`dlupdate`](Self::dlupdate).
    pub fn initialize_new(self: &Arc<Self>, dylib: DylibId) -> Result<(), DlError> {
        let name = {
            let state = self.lock();
            if matches!(state.loader.status(dylib), Status::Unloaded | Status::Unloading(_)) {
                return Ok(());
            }
            if state.loader.count(dylib) > 0 {
                drop(state);
                return self.update(dylib);
            }
            state.name(dylib).to_owned()
        };
        self.open(&name, crate::service::mode::NOLOAD)?;
        self.close(dylib)
    }
}

/// Images on their way out.
#[derive(Debug, Clone)]
struct Going {
    images: BTreeMap<ImageId, DylibId>,
    /// First and last+1 address of every range.
    ranges: BTreeMap<u64, u64>,
}

impl Going {
    fn new(session: &Session, images: &[ImageId]) -> Result<Self, RemoveError> {
        let ledger = session.ledger.lock();
        let mut going = Self { images: BTreeMap::new(), ranges: BTreeMap::new() };
        for &image in images {
            let (dylib, ranges) = ledger.find(image).ok_or(RemoveError::NoImage { image })?;
            going.images.insert(image, dylib);
            going.ranges.extend(ranges.iter().map(|range| (range.start, range.end)));
        }
        Ok(going)
    }

    fn dylibs(&self) -> impl Iterator<Item = DylibId> + use<> {
        self.images.values().copied().collect::<BTreeSet<_>>().into_iter()
    }

    fn covers(&self, address: u64) -> bool {
        self.ranges.range(..=address).next_back().is_some_and(|(_, end)| address < *end)
    }

    /// Whether something belongs to an image that goes: because that registered it, or because its code lies there.
    fn has(&self, image: Option<ImageId>, function: u64) -> bool {
        image.is_some_and(|image| self.images.contains_key(&image)) || self.covers(function)
    }
}

/// Takes the arrays that lie in what goes out of a dylib. Finalizers of runs that completed are added to `finalizers` under the number of their
/// run, the first to run last; everything else is forgotten.
fn take_arrays(known: &mut DylibState, going: &Going, finalizers: &mut Vec<(u64, Vec<InitArray>)>) {
    let DylibState { preinit, batches, runs, .. } = known;
    preinit.retain(|array| !going.covers(array.address));
    for done in runs.iter() {
        let batches = batches.get_mut(done.run.batches().start as usize..done.run.batches().end as usize);
        // What came later goes first.
        let taken =
            batches.unwrap_or_default().iter_mut().rev().flat_map(|batch| {
                batch.finalizers.extract_if(.., |array| going.covers(array.address)).collect::<Vec<_>>()
            });
        let mut taken: Vec<InitArray> = taken.collect();
        taken.reverse();
        if !taken.is_empty() && !done.finalized {
            finalizers.push((done.number, taken));
        }
    }
    for batch in batches {
        batch.initializers.retain(|array| !going.covers(array.address));
        batch.finalizers.retain(|array| !going.covers(array.address));
    }
}

/// A removal whose handlers and finalizers are being run.
struct Removal {
    session: Arc<Session>,
    going: Going,
    /// Nobody unloads their dylibs meanwhile.
    inside: Vec<Keepalive>,
    /// By the number of their run; the next to run is last.
    finalizers: Vec<(u64, Vec<InitArray>)>,
    /// Taken, and not run yet.
    handlers: BTreeMap<u64, Handler>,
    /// How many there were when handlers were taken.
    registrations: Option<u64>,
}

impl Removal {
    fn drive(self) {
        let going = self.going.clone();
        tls::run_destructors(&self.session, |one| going.has(Some(one.image), one.function));
        // Dropping it does the rest, as it does when an exception comes through.
        drop(self);
    }

    fn run_all(&mut self) {
        while let Some((number, arrays)) = self.finalizers.last() {
            let (number, next) = (*number, arrays.len().checked_sub(1));
            if let Some(handler) = self.take_handler(number) {
                self.call(handler);
            } else if let Some((next, (_, arrays))) = next.zip(self.finalizers.last_mut()) {
                let array = arrays.swap_remove(next);
                self.finalize(&array);
            } else {
                self.finalizers.pop();
            }
        }
        while let Some(handler) = self.take_handler(0) {
            self.call(handler);
        }
    }

    /// The latest handler, if it was registered after `floor`, those included that were registered meanwhile.
    fn take_handler(&mut self, floor: u64) -> Option<Handler> {
        let mut state = self.session.lock();
        if self.registrations != Some(state.handlers.registrations()) {
            self.registrations = Some(state.handlers.registrations());
            for dylib in self.going.dylibs() {
                let going = &self.going;
                self.handlers.extend(state.handlers.take_all(dylib, |image, function| going.has(image, function)));
            }
        }
        let latest = self.handlers.last_entry().filter(|latest| *latest.key() >= floor)?;
        Some(latest.remove())
    }

    fn call(&self, handler: Handler) {
        let _running = Running::enter(&self.session, None);
        // SAFETY: executed code registered it, and its memory goes only afterwards.
        unsafe { call::handler(handler, 0) };
    }

    fn finalize(&self, array: &InitArray) {
        let _running = Running::enter(&self.session, None);
        for index in 0..array.count {
            // SAFETY: the controller says that the array is there and what it holds; its memory goes only afterwards.
            if let Some(address) = unsafe { call::entry(array, index) } {
                // SAFETY: as above.
                unsafe { call::plain(address) };
            }
        }
    }
}

impl Drop for Removal {
    fn drop(&mut self) {
        /// Goes on with the rest when an exception leaves a handler or finalizer.
        struct Rest<'a>(&'a mut Removal);
        impl Drop for Rest<'_> {
            fn drop(&mut self) {
                self.0.run_all();
                self.0.release();
            }
        }
        Rest(self).0.run_all();
    }
}

impl Removal {
    /// The memory goes when nobody is inside.
    fn release(&mut self) {
        let session = Arc::clone(&self.session);
        let images: Vec<_> = self.going.images.iter().map(|(image, dylib)| (*dylib, *image)).collect();
        let numbers: Vec<u64> = images.iter().map(|(_, image)| image.0).collect();
        self.inside.clear();
        self.session.release_images_when_free(images, move || {
            if let Err(error) = session.ask::<_, ()>(tag::REMOVED, &numbers) {
                tracing::warn!(%error, "the controller did not hear that {} images are removed", numbers.len());
            }
        });
    }
}
