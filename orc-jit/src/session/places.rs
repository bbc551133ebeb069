//! What a session finds by address, and by the hash of a name: which unit, which dylib.
//!
//! Addresses are those of what is linked; the index of names is kept from when many dylibs are in reach of one, and follows what is linked and
//! what goes. **Not here:** whose definition of a name counts ([`crate::batch`]).

use super::State;
use crate::executor::Executor;
use crate::names::Names;
use crate::unit::UnitKey;
use dylib_graph::DylibId;

impl<E: Executor> State<E> {
    /// What covers an address, in a dylib's own words.
    pub(crate) fn covering(&self, address: u64) -> Option<(String, u64)> {
        let (name, place) = self.names_at(self.unit_at(address)?)?.covering(address)?;
        Some((String::from_utf8_lossy(name).into_owned(), place.address))
    }

    /// The unit whose images cover an address.
    pub(crate) fn unit_at(&self, address: u64) -> Option<UnitKey> {
        let (_, (end, key)) = self.ranges.range(..=address).next_back()?;
        (address < *end).then_some(*key)
    }

    /// The names of a unit, also of one that is on its way out.
    pub(crate) fn names_at(&self, key: UnitKey) -> Option<&Names> {
        let leaving = || self.leaving.iter().find(|one| one.key == key).map(|one| &*one.unit.names);
        self.part(key.dylib)?.names_of(key.unit).or_else(leaving)
    }

    /// Brings the names of dylibs that were linked since into the index.
    pub(super) fn bring_index_up_to_date(&mut self) {
        for dylib in std::mem::take(&mut self.unindexed) {
            let Some(Some(part)) = self.parts.get_mut(dylib.index()) else { continue };
            let known = &mut self.indexed[dylib.index()];
            part.names.exported_hashes(*known..part.names.len()).for_each(|hash| self.index.insert(hash, dylib));
            *known = part.names.len();
            for unit in std::mem::take(&mut part.units.unindexed) {
                let Some(unit) = part.units.get_mut(unit) else { continue };
                let new = unit.names.exported_hashes(unit.indexed..unit.names.len());
                new.for_each(|hash| self.index.insert(hash, dylib));
                unit.indexed = unit.names.len();
            }
        }
    }

    /// Takes what the index knows of a dylib back.
    pub(super) fn forget_names(&mut self, dylib: DylibId) {
        let known = self.indexed.get_mut(dylib.index()).map_or(0, std::mem::take);
        let Some(Some(part)) = self.parts.get(dylib.index()) else { return };
        part.names.exported_hashes(0..known).for_each(|hash| self.index.remove(hash, dylib));
        for (_, unit) in part.units.iter() {
            unit.names.exported_hashes(0..unit.indexed).for_each(|hash| self.index.remove(hash, dylib));
        }
    }
}
