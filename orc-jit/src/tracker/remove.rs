//! Taking units out of a session: who goes, what of the session goes with them, and what comes back when the executor refuses.
//!
//! Under the session's lock units are taken out of their dylibs, so that nobody is bound to them any more. Then, without it, the executor undoes
//! what they have set up, and asks for their release when nobody is inside ([`Shared::let_go`]).

use super::{Dependent, Removal, readable};
use crate::error::Error;
use crate::executor::Executor;
use crate::session::{Held, Shared, State};
use crate::ties::Tie;
use crate::unit::{TrackerId, Unit, UnitKey};
use jitlink::graph::Linkage;
use orc_rt::image::ImageId;
use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};

/// A unit that nobody finds: on its way out, or not in yet.
#[derive(Debug)]
pub(crate) struct Leaving<A> {
    pub(crate) key: UnitKey,
    pub(crate) unit: Unit,
    pub(crate) held: Held<A>,
    /// It has arrays that no plan has named.
    had_arrays: bool,
}

/// What a removal has taken out and is to be undone in the executor.
#[derive(Debug)]
pub(crate) struct Going {
    keys: Vec<UnitKey>,
    trackers: Vec<(TrackerId, super::Tracked)>,
    images: Vec<ImageId>,
}

impl<E: Executor> State<E> {
    /// Takes a tracker's units out, and with [`Removal::Cascade`] those of the trackers that are bound to it.
    pub(super) fn take_out(&mut self, tracker: TrackerId, removal: Removal) -> Result<Going, Error> {
        let going = self.who_goes(tracker, removal)?;
        let mut trackers = Vec::with_capacity(going.len());
        let mut keys = Vec::new();
        for id in going {
            if let Some(tracked) = self.trackers.remove(&id) {
                keys.extend(tracked.keys());
                trackers.push((id, tracked));
            }
        }
        let images = self.take_units_out(&keys);
        Ok(Going { keys, trackers, images })
    }

    /// The trackers that go. Fails when something stays that is bound to one of them.
    fn who_goes(&self, tracker: TrackerId, removal: Removal) -> Result<BTreeSet<TrackerId>, Error> {
        let mut going = BTreeSet::from([tracker]);
        let mut queue = VecDeque::from([tracker]);
        while let Some(id) = queue.pop_front() {
            let Some(tracked) = self.trackers.get(&id) else { continue };
            let mut stay: Vec<(UnitKey, &[Tie])> = Vec::new();
            let mut fixed = false;
            for (user, ties) in tracked.keys().flat_map(|key| self.ties.users_of(key)) {
                let of = self.part(user.dylib).and_then(|part| part.units.get(user.unit)).map(|unit| unit.tracker);
                match of {
                    Some(of) if going.contains(&of) => {}
                    Some(of) if removal == Removal::Cascade => {
                        going.insert(of);
                        queue.push_back(of);
                    }
                    of => {
                        fixed |= of.is_none() && removal == Removal::Cascade;
                        stay.push((user, ties));
                    }
                }
            }
            if !stay.is_empty() {
                let part = self.part(tracked.dylib);
                let (what, dylib) =
                    part.map(|part| (part.title_of(tracked.unit), part.name.clone())).unwrap_or_default();
                return Err(Error::StillUsed { what, dylib, users: self.in_words(stay.into_iter()), fixed });
            }
        }
        Ok(going)
    }

    /// Nobody finds these units any more. Gives the images that they have.
    pub(super) fn take_units_out(&mut self, keys: &[UnitKey]) -> Vec<ImageId> {
        let mut images = Vec::new();
        for &key in keys {
            let Some(Some(part)) = self.parts.get_mut(key.dylib.index()) else { continue };
            let had_arrays = part.units.with_arrays.contains(&key.unit);
            let Some(mut unit) = part.units.take(key.unit) else { continue };
            let indexed = std::mem::take(&mut unit.indexed);
            unit.names.exported_hashes(0..indexed).for_each(|hash| self.index.remove(hash, key.dylib));
            let held = self.held_by_units.remove(&key.unit).unwrap_or_default();
            images.extend(held.images.iter().map(|(image, _)| *image));
            if held.images.is_empty() && unit.linked == 0 {
                self.ties.forget(key);
            }
            self.leaving.push(Leaving { key, unit, held, had_arrays });
        }
        self.changed();
        images
    }

    /// Puts units back that the executor did not remove.
    pub(super) fn put_units_back(&mut self, keys: &[UnitKey]) {
        let back: HashSet<UnitKey> = keys.iter().copied().collect();
        for Leaving { key, unit, held, had_arrays } in self.leaving.extract_if(.., |one| back.contains(&one.key)) {
            let Some(Some(part)) = self.parts.get_mut(key.dylib.index()) else { continue };
            part.units.put(key.unit, unit);
            if had_arrays {
                part.units.with_arrays.insert(key.unit);
            }
            self.unindexed.insert(key.dylib);
            self.held_by_units.insert(key.unit, held);
        }
        self.changed();
    }

    /// Users of something, as a message tells of them: by object.
    pub(super) fn in_words<'a>(&self, users: impl Iterator<Item = (UnitKey, &'a [Tie])>) -> Vec<Dependent> {
        let mut all = Vec::new();
        for (user, ties) in users {
            let mut by_object: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
            for tie in ties {
                by_object.entry(&tie.object).or_default().insert(readable(&tie.name));
            }
            let part = self.part(user.dylib);
            let leaving = || self.leaving.iter().find(|one| one.key == user).map(|one| &one.unit);
            let unit = part.and_then(|part| part.units.get(user.unit)).or_else(leaving);
            all.extend(by_object.into_iter().map(|(object, symbols)| Dependent {
                dylib: part.map(|part| part.name.clone()).unwrap_or_default(),
                tracker: unit.map(|unit| unit.name.clone()),
                object: object.to_owned(),
                symbols: symbols.into_iter().collect(),
            }));
        }
        all
    }
}

impl<E: Executor> Shared<E> {
    /// Has the executor undo what was taken out; everything comes back if it refuses.
    pub(super) fn finish_removal(&self, going: Going) -> Result<(), Error> {
        let Going { keys, trackers, images } = going;
        let done = if images.is_empty() { Ok(()) } else { self.request(|executor| executor.remove(&images)) };
        self.remove_overdue();
        let mut state = self.lock();
        match done {
            Ok(()) => {
                // What was not linked has nothing in the executor, and nobody is bound to it.
                state.leaving.retain(|one| !one.held.images.is_empty() || !keys.contains(&one.key));
                Ok(())
            }
            Err(error) => {
                state.put_units_back(&keys);
                state.trackers.extend(trackers);
                Err(error)
            }
        }
    }

    /// Tries again to remove what was replaced at a moment when it could not be removed.
    pub(super) fn remove_overdue(&self) {
        let overdue = std::mem::take(&mut self.lock().overdue);
        for images in overdue {
            if self.executor.remove(&images).is_err() {
                self.lock().overdue.push(images);
            }
        }
    }

    /// The executor has undone everything of these images, and nobody is inside: registrations and memory go back.
    pub(crate) fn let_go(&self, state: &mut State<E>, images: &[u64]) {
        let gone: HashSet<u64> = images.iter().copied().collect();
        let is_gone =
            |one: &mut Leaving<E::Allocation>| one.held.images.iter().any(|(id, _)| gone.contains(&id.number()));
        let mut images = Vec::new();
        for Leaving { key, unit, held, .. } in state.leaving.extract_if(.., is_gone).collect::<Vec<_>>() {
            for start in held.starts {
                state.ranges.remove(&start);
            }
            state.ties.forget(key);
            for (name, _) in unit.names.iter().filter(|(_, what)| what.linkage == Linkage::Unique) {
                if state.unique.get(name).is_some_and(|unique| unique.by == key) {
                    state.unique.remove(name);
                }
            }
            images.extend(held.images);
        }
        images.sort_by_key(|(image, _)| *image);
        self.release(&mut images);
        state.changed();
    }
}
