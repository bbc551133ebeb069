//! Section groups (gABI "Section Groups"): kept or dropped whole.

use super::{BlockId, Comdat, GroupId, ObjectId, names};
use hashbrown::HashTable;
use smallvec::SmallVec;
use std::collections::HashMap;

/// One group.
#[derive(Clone, Debug)]
pub struct Group<'data> {
    /// Its signature: the name that decides which groups are the same.
    pub signature: &'data [u8],
    /// The object that it is part of.
    pub object: ObjectId,
    /// Its blocks. An inline function has few: its code, its tables.
    pub members: SmallVec<[BlockId; 4]>,
}

/// What became of a group that was offered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum GroupOutcome {
    /// It is the first of its signature: its sections are loaded.
    Kept(GroupId),
    /// An earlier object has it: its sections are dropped, its global symbols are those of the earlier one.
    Dropped(GroupId),
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Groups<'data> {
    pub(crate) all: Vec<Group<'data>>,
    comdat: HashTable<(u32, GroupId)>,
    /// Of groups that were chosen by another rule than "first come": what was chosen.
    pub(crate) comdats: HashMap<GroupId, Comdat<'data>>,
}

impl<'data> Groups<'data> {
    /// Offers a group. Only COMDAT groups are compared with others.
    pub(crate) fn offer(&mut self, signature: &'data [u8], comdat: bool, object: ObjectId) -> GroupOutcome {
        let next = GroupId::from_index(self.all.len());
        if comdat {
            let hash = names::hash(signature);
            let same = |(h, id): &(u32, GroupId)| *h == hash && self.all[id.index()].signature == signature;
            match self
                .comdat
                .entry(u64::from(hash) << 32 | u64::from(hash), same, |(h, _)| u64::from(*h) << 32 | u64::from(*h))
            {
                hashbrown::hash_table::Entry::Occupied(entry) => return GroupOutcome::Dropped(entry.get().1),
                hashbrown::hash_table::Entry::Vacant(entry) => {
                    entry.insert((hash, next));
                }
            }
        }
        self.all.push(Group { signature, object, members: SmallVec::new() });
        GroupOutcome::Kept(next)
    }

    /// A group of `object` that stands for the signature from now on, instead of `earlier`.
    pub(crate) fn displace(&mut self, earlier: GroupId, signature: &'data [u8], object: ObjectId) -> GroupId {
        let group = GroupId::from_index(self.all.len());
        let hash = names::hash(signature);
        let slot = self.comdat.find_mut(u64::from(hash) << 32 | u64::from(hash), |(_, id)| *id == earlier);
        if let Some((_, id)) = slot {
            *id = group;
        }
        self.comdats.remove(&earlier);
        self.all.push(Group { signature, object, members: SmallVec::new() });
        group
    }
}

impl<'data> super::LinkGraph<'data> {
    /// Offers a section group of `object`; the first COMDAT group of a signature is kept, later ones are dropped.
    pub fn offer_group(&mut self, signature: &'data [u8], comdat: bool, object: ObjectId) -> GroupOutcome {
        self.groups.offer(signature, comdat, object)
    }

    /// Says that `block` belongs to `group`.
    pub fn add_to_group(&mut self, group: GroupId, block: BlockId) {
        self.groups.all[group.index()].members.push(block);
    }

    /// All groups that were kept, by [`GroupId::index`].
    #[must_use]
    pub fn groups(&self) -> &[Group<'data>] {
        &self.groups.all
    }
}
