//! Who is bound to whom: for each unit that can go by itself, the units whose code or data holds its addresses, and by which names.
//!
//! Noted when a batch is bound, forgotten when either side goes. Addresses that `dlsym` has handed out are nobody's: they are not here.

use crate::unit::UnitKey;
use jitlink::LinkGraph;
use jitlink::graph::SymbolId;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// One name that a unit is bound by.
#[derive(Clone, Debug)]
pub(crate) struct Tie {
    /// Who defines it.
    pub(crate) to: UnitKey,
    pub(crate) name: Box<[u8]>,
    /// The object that asks for it.
    pub(crate) object: Box<str>,
}

impl Tie {
    pub(crate) fn new(to: UnitKey, name: &[u8], graph: &LinkGraph<'_>, id: SymbolId) -> Self {
        let object = graph.object(graph.symbol(id).object).name.as_str().into();
        Self { to, name: name.into(), object }
    }
}

/// All that a session has.
#[derive(Debug, Default)]
pub(crate) struct Ties {
    /// By who defines, then by who uses.
    users: HashMap<UnitKey, BTreeMap<UnitKey, Vec<Tie>>>,
    /// By who uses: who defines.
    used: HashMap<UnitKey, BTreeSet<UnitKey>>,
}

impl Ties {
    /// Notes what `user` is bound to.
    pub(crate) fn add(&mut self, user: UnitKey, ties: Vec<Tie>) {
        for tie in ties {
            self.used.entry(user).or_default().insert(tie.to);
            self.users.entry(tie.to).or_default().entry(user).or_default().push(tie);
        }
    }

    /// Who is bound to `unit`, and by what.
    pub(crate) fn users_of(&self, unit: UnitKey) -> impl Iterator<Item = (UnitKey, &[Tie])> + '_ {
        self.users.get(&unit).into_iter().flatten().map(|(user, ties)| (*user, ties.as_slice()))
    }

    /// `unit` is gone: it is bound to nobody, and nobody to it.
    pub(crate) fn forget(&mut self, unit: UnitKey) {
        for definer in self.used.remove(&unit).unwrap_or_default() {
            if let Some(users) = self.users.get_mut(&definer) {
                users.remove(&unit);
                if users.is_empty() {
                    self.users.remove(&definer);
                }
            }
        }
        for user in self.users.remove(&unit).unwrap_or_default().into_keys() {
            if let Some(used) = self.used.get_mut(&user) {
                used.remove(&unit);
                if used.is_empty() {
                    self.used.remove(&user);
                }
            }
        }
    }
}
