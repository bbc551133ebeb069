//! Another definition in place of the one that is in force.
//!
//! ```text
//! check who uses what -> link the new one, which nobody finds -> its initializers -> slots and names change over -> the old one is removed
//! ```
//!
//! Whatever fails before the change-over leaves the old definition in force and nothing of the new one behind.

use super::{Dependent, Tracked, Tracker, inside_resolver};
use crate::error::Error;
use crate::executor::Executor;
use crate::names::Names;
use crate::session::{Shared, State};
use crate::source::{Item, Source};
use crate::ties::Tie;
use crate::unit::{Role, TrackerId, Unit, UnitKey};
use jitlink::LinkGraph;
use jitlink::arch::Machine;
use jitlink::graph::{Scope, Spelling, SymbolKind};
use jitlink::object::{self, ReadOptions};
use orc_rt::image::ImageId;
use std::collections::{BTreeSet, HashSet};
use std::path::Path;
use std::sync::Arc;

/// The inputs that a tracker is to have instead of those that it has.
#[derive(Debug, Default)]
pub struct NewInputs {
    items: Vec<Item>,
}

impl NewInputs {
    /// Adds a relocatable object; the file is read when the definition is replaced.
    pub fn add_object_file(&mut self, path: impl AsRef<Path>) {
        self.items.push(Item::Object(Source::File(path.as_ref().to_owned())));
    }

    /// Adds a relocatable object from memory; `name` is what messages call it.
    pub fn add_object(&mut self, name: impl Into<String>, bytes: impl Into<Arc<[u8]>>) {
        self.items.push(Item::Object(Source::Memory { name: name.into(), bytes: bytes.into() }));
    }

    /// Defines `name` as an address of the executor.
    pub fn define_absolute(&mut self, name: impl Into<String>, address: u64) {
        self.items.push(Item::Absolute { name: name.into(), address });
    }

    /// The functions that they define for others.
    fn functions(&self, machine: &'static Machine) -> Result<HashSet<Vec<u8>>, Error> {
        let mut functions = HashSet::new();
        for item in &self.items {
            let Item::Object(source) = item else { continue };
            let bytes = source.read().map_err(|error| Error::Read { file: source.name(), error })?;
            let mut graph = LinkGraph::new(machine).spelled(Spelling::C);
            object::read(&mut graph, &source.name(), &bytes, ReadOptions { explicit: true })?;
            let defined = graph.symbols().iter().filter(|symbol| {
                symbol.block().is_some() && symbol.scope > Scope::Local && symbol.kind == SymbolKind::Function
            });
            functions.extend(defined.map(|symbol| symbol.name.to_vec()));
        }
        Ok(functions)
    }
}

impl<E: Executor> Tracker<E> {
    /// Replaces its inputs while the rest runs: links the new ones, runs their initializers, has every call of its functions lead to the new
    /// ones, and removes the old ones as [`remove`](Self::remove) does. For this the tracker was made by
    /// [`redefinable`](crate::JitDylib::redefinable); another one can be replaced when nothing is bound to it.
    ///
    /// The change-over is one store for each function: a thread that calls meanwhile gets the old function or the new one, and may for a
    /// moment get the old of one and the new of another. A thread that is inside of an old function goes on there; its memory stays for as
    /// long as a [`Keepalive`](orc_rt::Keepalive) is held for it, and only then. State that an old function keeps in its own static variables
    /// goes with it: keep what is to last in variables of another tracker, or of the dylib.
    ///
    /// ```no_run
    /// # fn main() -> Result<(), orc_jit::Error> {
    /// # let session = orc_jit::Session::in_process()?;
    /// # let main = session.add_dylib("main")?;
    /// let rules = main.redefinable("rules")?;
    /// rules.add_object_file("rules.o")?;
    /// let opened = session.open("main")?;
    /// // ... the file changes ...
    /// rules.replace(|new| new.add_object_file("rules.o"))?;
    /// # drop(opened);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Others use functions that the new inputs do not define, or data of the old ones, whose address they hold
    /// ([`Error::CannotReplace`]); something cannot be read or linked; an initializer fails; as [`remove`](Self::remove). The old definition
    /// is in force then, and nothing of the new one is left.
    ///
    /// # Exceptions
    /// What an initializer throws passes through here; the dylib is poisoned as by any initializer that throws, and the old definition is in
    /// force. What a finalizer of the old definition throws passes through as well; the new one is in force then.
    pub fn replace(&self, with: impl FnOnce(&mut NewInputs)) -> Result<(), Error> {
        let mut inputs = NewInputs::default();
        with(&mut inputs);
        let functions = inputs.functions(self.shared.executor.machine())?;
        // One that cannot take the old definition out again is told so before anything is linked.
        self.shared.executor.remove(&[])?;
        let arriving = {
            let mut state = self.shared.enter().ok_or_else(inside_resolver)?;
            self.at_rest(&state)?;
            match self.shared.link_apart(&mut state, self.id, inputs, &functions)? {
                Some(arriving) => arriving,
                None => return Ok(()),
            }
        };
        Attempt { shared: &self.shared, arriving: Some(arriving) }.finish()
    }
}

/// A definition that is linked and that nobody finds.
#[derive(Debug)]
pub(super) struct Arriving {
    tracker: TrackerId,
    unit: UnitKey,
    stubs: UnitKey,
    images: Vec<ImageId>,
}

impl<E: Executor> State<E> {
    /// Users of a tracker's units, by whether they use stubs.
    fn users_of(&self, tracked: &Tracked, stubs: bool) -> Vec<(UnitKey, Vec<Tie>)> {
        let own: BTreeSet<UnitKey> = tracked.keys().collect();
        let keys = own.iter().filter(|key| tracked.stubs.contains(&key.unit) == stubs);
        let users = keys.flat_map(|key| self.ties.users_of(*key)).filter(|(user, _)| !own.contains(user));
        users.map(|(user, ties)| (user, ties.to_vec())).collect()
    }

    /// Whether others allow the tracker to be something else, which defines these functions.
    fn check_users(&self, tracked: &Tracked, functions: &HashSet<Vec<u8>>) -> Result<(), Error> {
        let refuse = |reason, users: Vec<(UnitKey, Vec<Tie>)>| {
            let part = self.part(tracked.dylib);
            let (what, dylib) = part.map(|part| (part.title_of(tracked.unit), part.name.clone())).unwrap_or_default();
            let users: Vec<Dependent> = self.in_words(users.iter().map(|(user, ties)| (*user, ties.as_slice())));
            if users.is_empty() { Ok(()) } else { Err(Error::CannotReplace { what, dylib, reason, users }) }
        };
        let reason = if tracked.stubs.is_empty() {
            "it was not made to be redefinable, and others hold its addresses"
        } else {
            "others hold the addresses of what is no function, which cannot move"
        };
        refuse(reason, self.users_of(tracked, false))?;
        let mut lacking = self.users_of(tracked, true);
        for (_, ties) in &mut lacking {
            ties.retain(|tie| !functions.contains(&*tie.name));
        }
        lacking.retain(|(_, ties)| !ties.is_empty());
        refuse("the new definition lacks functions that others use", lacking)
    }

    /// Takes names out of stubs that lead nowhere any more.
    fn drop_stubs(&mut self, key: UnitKey, gone: &BTreeSet<Box<[u8]>>) {
        let Some(Some(part)) = self.parts.get_mut(key.dylib.index()) else { return };
        let Some(mut unit) = part.units.take(key.unit) else { return };
        let indexed = std::mem::take(&mut unit.indexed);
        unit.names.exported_hashes(0..indexed).for_each(|hash| self.index.remove(hash, key.dylib));
        let mut names = Names::default();
        unit.names.iter().filter(|(name, _)| !gone.contains(*name)).for_each(|(name, what)| names.push(name, what));
        unit.names = Arc::new(names);
        unit.places.retain(|name, _| !gone.contains(name));
        part.units.put(key.unit, unit);
        self.unindexed.insert(key.dylib);
    }

    /// Whether a unit has anything in the executor.
    fn is_linked(&self, key: UnitKey) -> bool {
        self.held_by_units.get(&key.unit).is_some_and(|held| !held.images.is_empty())
    }

    /// Gives a unit that is not linked other inputs.
    fn change_inputs(&mut self, key: UnitKey, items: Vec<Item>) {
        let Some(Some(part)) = self.parts.get_mut(key.dylib.index()) else { return };
        let Some(mut unit) = part.units.take(key.unit) else { return };
        unit.items = items;
        unit.linked = 0;
        part.units.put(key.unit, unit);
        self.changed();
    }
}

impl<E: Executor> Shared<E> {
    /// Links what a tracker is to be, and hides it. `None` when there was nothing linked that it could take the place of: then the inputs are
    /// changed, and that is all.
    fn link_apart(
        &self,
        state: &mut State<E>,
        id: TrackerId,
        inputs: NewInputs,
        functions: &HashSet<Vec<u8>>,
    ) -> Result<Option<Arriving>, Error> {
        let gone = || Error::internal("a tracker has no unit");
        let tracked = state.trackers.get(&id).ok_or_else(gone)?;
        let (dylib, old) = (tracked.dylib, UnitKey { dylib: tracked.dylib, unit: tracked.unit });
        let redefinable = !tracked.stubs.is_empty();
        if !state.is_linked(old) {
            state.change_inputs(old, inputs.items);
            return Ok(None);
        }
        state.check_users(tracked, functions)?;
        let name = state.part(dylib).and_then(|part| part.units.get(old.unit)).map(|unit| unit.name.clone());
        let name = name.ok_or_else(gone)?;
        let unit = UnitKey { dylib, unit: state.next_unit() };
        let stubs = UnitKey { dylib, unit: state.next_unit() };
        let role = if redefinable { Role::Behind(stubs.unit) } else { Role::Plain };
        let mut new = Unit::new(name.clone(), id, role);
        new.items = inputs.items;
        let units = &mut state.part_mut(dylib)?.units;
        units.put(unit.unit, new);
        if redefinable {
            units.put(stubs.unit, Unit::new(name, id, Role::Stubs));
        }
        // The old one's names do not clash with the new one's.
        state.take_units_out(&[old]);
        let linked = self.link_only(state, &[dylib], None, Some(unit));
        let images = state.take_units_out(&[unit, stubs]);
        state.put_units_back(&[old]);
        if let Err(error) = linked {
            state.leaving.retain(|one| one.key != unit && one.key != stubs);
            return Err(error);
        }
        // They are the dylib's to run at once, though nobody finds what they belong to.
        for key in [unit, stubs] {
            let arrays = state.leaving.iter_mut().find(|one| one.key == key);
            let arrays = arrays.map(|one| std::mem::take(&mut one.held.arrays)).unwrap_or_default();
            state.held[dylib.index()].arrays.extend(arrays);
        }
        if let Some(tracked) = state.trackers.get_mut(&id) {
            tracked.busy = true;
        }
        Ok(Some(Arriving { tracker: id, unit, stubs, images }))
    }

    /// The new definition is the one in force from here on; gives the images of the old one. `None` when the dylib was unloaded meanwhile:
    /// then the next open links the new inputs.
    fn change_over(&self, state: &mut State<E>, arriving: &Arriving) -> Result<Option<Vec<ImageId>>, Error> {
        let Arriving { tracker, unit, stubs, .. } = arriving;
        let arrived = |state: &State<E>, key: UnitKey| state.leaving.iter().position(|one| one.key == key);
        let new = arrived(state, *unit).ok_or_else(|| Error::internal("a new definition is gone"))?;
        let tracked = state.trackers.get(tracker).ok_or_else(|| Error::internal("a tracker is gone"))?;
        let old = UnitKey { dylib: tracked.dylib, unit: tracked.unit };
        if !state.is_linked(old) {
            let items = state.leaving[new].unit.items.clone();
            state.change_inputs(old, items);
            return Ok(None);
        }
        let places = &state.leaving[new].unit.places;
        state.check_users(tracked, &places.keys().map(|name| name.to_vec()).collect())?;
        let mut writes = Vec::new();
        let mut dropped: Vec<(UnitKey, BTreeSet<Box<[u8]>>)> = Vec::new();
        for key in tracked.keys().filter(|key| tracked.stubs.contains(&key.unit)) {
            let Some(unit) = state.part(key.dylib).and_then(|part| part.units.get(key.unit)) else { continue };
            // Who still calls what is gone, through an address that was looked up, calls null and not what comes to lie there.
            writes.extend(unit.places.iter().map(|(name, slot)| (*slot, places.get(name).copied().unwrap_or(0))));
            let gone: BTreeSet<_> = unit.places.keys().filter(|name| !places.contains_key(*name)).cloned().collect();
            if !gone.is_empty() {
                dropped.push((key, gone));
            }
        }
        let first_stubs = tracked.stubs.first().copied();
        if !writes.is_empty() {
            self.executor.write_slots(&writes)?;
        }
        // Nothing fails from here on.
        for (key, gone) in dropped {
            state.drop_stubs(key, &gone);
        }
        let images = state.take_units_out(&[old]);
        let (unit, stubs) = (*unit, *stubs);
        let has_stubs = arrived(state, stubs).is_some_and(|at| !state.leaving[at].held.images.is_empty());
        if has_stubs {
            state.put_units_back(&[stubs]);
        } else {
            state.leaving.retain(|one| one.key != stubs);
            if let (Some(first), Some(at)) = (first_stubs, arrived(state, unit)) {
                state.leaving[at].unit.role = Role::Behind(first);
            }
        }
        state.put_units_back(&[unit]);
        if let Some(tracked) = state.trackers.get_mut(tracker) {
            tracked.unit = unit.unit;
            tracked.stubs.extend(has_stubs.then_some(stubs.unit));
            tracked.busy = false;
        }
        Ok(Some(images))
    }
}

/// A new definition on its way in. Dropped before it is in force, by an exception, it takes it back.
struct Attempt<'a, E: Executor> {
    shared: &'a Shared<E>,
    arriving: Option<Arriving>,
}

impl<E: Executor> Attempt<'_, E> {
    fn finish(mut self) -> Result<(), Error> {
        let Some(arriving) = &self.arriving else { return Ok(()) };
        let dylib = arriving.unit.dylib;
        self.shared.request(|executor| executor.initialize(dylib))?;
        let images = {
            let mut state = self.shared.lock();
            self.shared.change_over(&mut state, arriving)?
        };
        let Some(images) = images else { return Ok(()) };
        self.arriving = None;
        if self.shared.executor.remove(&images).is_err() {
            // Its dylib is being opened, say: the next removal tries again.
            self.shared.lock().overdue.push(images);
        } else {
            self.shared.remove_overdue();
        }
        Ok(())
    }
}

impl<E: Executor> Drop for Attempt<'_, E> {
    fn drop(&mut self) {
        let Some(Arriving { tracker, unit, stubs, images }) = self.arriving.take() else { return };
        {
            let mut state = self.shared.lock();
            // What no plan has named never will be.
            let mut arrays = std::mem::take(&mut state.held[unit.dylib.index()].arrays);
            arrays.retain(|array| state.unit_at(array.address) != Some(unit));
            state.held[unit.dylib.index()].arrays = arrays;
        }
        let undone = self.shared.executor.remove(&images);
        let mut state = self.shared.lock();
        if undone.is_err() {
            state.overdue.push(images);
        }
        state.leaving.retain(|one| !one.held.images.is_empty() || one.key != unit && one.key != stubs);
        if let Some(tracked) = state.trackers.get_mut(&tracker) {
            tracked.busy = false;
        }
    }
}
