//! COMDAT sections of formats in which each says by what rule one of several is chosen (PE/COFF, "COMDAT Sections").
//!
//! ELF knows one rule, first come: [`LinkGraph::offer_group`]. Here a later section may win, or be an error that names both objects.

use super::groups::GroupOutcome;
use super::{BlockId, Definition, GroupId, LinkGraph, ObjectId};
use std::fmt;

/// How one of several sections of the same name is chosen (`IMAGE_COMDAT_SELECT_*`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Selection {
    /// There may be one only.
    NoDuplicates,
    /// The first one.
    Any,
    /// The first one; all have its size.
    SameSize,
    /// The first one; all have its bytes.
    ExactMatch,
    /// The largest one, the first of these.
    Largest,
    /// That of the object with the latest time stamp, the first of these.
    Newest,
}

impl fmt::Display for Selection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoDuplicates => "no duplicates",
            Self::Any => "any",
            Self::SameSize => "same size",
            Self::ExactMatch => "exact match",
            Self::Largest => "largest",
            Self::Newest => "newest",
        })
    }
}

/// A section that competes with others.
#[derive(Clone, Copy, Debug)]
pub struct Comdat<'data> {
    /// The name that decides which sections are the same.
    pub signature: &'data [u8],
    /// The object that it is part of.
    pub object: ObjectId,
    /// The rule.
    pub selection: Selection,
    /// Its size in bytes.
    pub size: u64,
    /// Its bytes; none where all are zero.
    pub content: &'data [u8],
    /// How many relocations it has.
    pub relocations: usize,
    /// When its object was made, in seconds.
    pub time: u32,
}

/// What became of a section that was offered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ComdatOutcome {
    /// It is loaded.
    Kept(GroupId),
    /// An earlier object has it.
    Dropped,
}

/// Two sections that the rule does not allow beside each other.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ComdatClash {
    /// The object that had it first.
    pub first: ObjectId,
    /// What is wrong with the second.
    pub why: String,
}

impl<'data> LinkGraph<'data> {
    /// Offers a COMDAT section. One that wins over an earlier one takes its place: names that were defined there are to be defined again.
    ///
    /// # Errors
    /// What the rule says against it.
    pub fn offer_comdat(&mut self, offered: Comdat<'data>) -> Result<ComdatOutcome, ComdatClash> {
        let earlier = match self.groups.offer(offered.signature, true, offered.object) {
            GroupOutcome::Kept(group) => {
                self.groups.comdats.insert(group, offered);
                return Ok(ComdatOutcome::Kept(group));
            }
            GroupOutcome::Dropped(earlier) => earlier,
        };
        let clash = |why: String| Err(ComdatClash { first: self.groups.all[earlier.index()].object, why });
        // A group of another format is any of its kind.
        let Some(kept) = self.groups.comdats.get(&earlier) else { return Ok(ComdatOutcome::Dropped) };
        let selection = match (kept.selection, offered.selection) {
            (one, other) if one == other => one,
            // gcc says "any" of what clang and cl call "largest" (virtual function tables): the larger one serves both.
            (Selection::Any, Selection::Largest) | (Selection::Largest, Selection::Any) => Selection::Largest,
            (one, other) => return clash(format!("one is chosen by '{one}', the other by '{other}'")),
        };
        let wins = match selection {
            Selection::NoDuplicates => return clash("it may be defined once only".into()),
            Selection::SameSize if kept.size != offered.size => {
                return clash(format!("it has {:#x} bytes there and {:#x} here", kept.size, offered.size));
            }
            Selection::ExactMatch
                if (kept.size, kept.content, kept.relocations)
                    != (offered.size, offered.content, offered.relocations) =>
            {
                return clash("its content is not the same".into());
            }
            Selection::Any | Selection::SameSize | Selection::ExactMatch => false,
            Selection::Largest => offered.size > kept.size,
            Selection::Newest => offered.time > kept.time,
        };
        if !wins {
            return Ok(ComdatOutcome::Dropped);
        }
        let group = self.groups.displace(earlier, offered.signature, offered.object);
        self.groups.comdats.insert(group, offered);
        self.forget_definition(offered.signature, earlier);
        Ok(ComdatOutcome::Kept(group))
    }

    /// Whether a name is defined in a COMDAT section, or group.
    #[must_use]
    pub fn is_comdat(&self, block: BlockId) -> bool {
        self.section_of(block).group.is_some()
    }

    /// The name is no longer defined by the blocks of `group`.
    fn forget_definition(&mut self, name: &[u8], group: GroupId) {
        let Some(id) = self.find(name) else { return };
        let symbol = self.symbol(id);
        let there = symbol.block().is_some_and(|block| self.groups.all[group.index()].members.contains(&block));
        if there {
            self.symbols[id.index()].definition = Definition::Discarded;
        }
    }
}
