//! Symbols that were looked up before.
//!
//! You give what the controller said, and the moment at which it was asked; you get it again for as long as nothing has changed. Absent symbols are
//! remembered as well. Bounded in size, and forgotten as a whole.

use crate::service::Found;
use crate::sync::leaf::RwLock;
use foldhash::fast::FixedState;
use hashbrown::HashTable;
use std::hash::BuildHasher;

/// When it is full, it is emptied.
const ENTRIES: usize = 4096;

/// Longer names, in bytes, are not kept: all of it stays within a few MiB.
const LONGEST: usize = 512;

/// A moment: the controller's changes, and the executor's own. Moments do not come back.
pub(crate) type Moment = (u64, u64);

/// What is asked for: a scope, the dylib that it begins at, a symbol.
#[derive(Clone, Copy, Hash, PartialEq, Eq)]
pub(crate) struct Question<'a> {
    pub(crate) scope: u8,
    pub(crate) dylib: u32,
    pub(crate) name: &'a str,
}

impl Question<'_> {
    fn hash(&self) -> u64 {
        FixedState::with_seed(0x6f72_632d_7274).hash_one(self)
    }
}

/// The answers of one moment.
#[derive(Default)]
pub(crate) struct Answers(RwLock<Table>);

#[derive(Default)]
struct Table {
    moment: Moment,
    entries: HashTable<Entry>,
}

struct Entry {
    scope: u8,
    dylib: u32,
    name: Box<str>,
    answer: Option<Found>,
}

impl Entry {
    fn question(&self) -> Question<'_> {
        Question { scope: self.scope, dylib: self.dylib, name: &self.name }
    }
}

impl Answers {
    /// What was answered to `question`, if it was asked in this moment.
    pub(crate) fn get(&self, moment: Moment, question: Question<'_>) -> Option<Option<Found>> {
        let table = self.0.read();
        if table.moment != moment {
            return None;
        }
        table.entries.find(question.hash(), |entry| entry.question() == question).map(|entry| entry.answer)
    }

    /// Remembers an answer; `moment` was read before the question was asked.
    pub(crate) fn put(&self, moment: Moment, question: Question<'_>, answer: Option<Found>) {
        if question.name.len() > LONGEST {
            return;
        }
        let mut table = self.0.write();
        if table.moment != moment || table.entries.len() >= ENTRIES {
            table.moment = moment;
            table.entries.clear();
        }
        let hash = question.hash();
        let Question { scope, dylib, name } = question;
        let new = || Entry { scope, dylib, name: name.into(), answer };
        let slot = table.entries.entry(hash, |entry| entry.question() == question, |entry| entry.question().hash());
        slot.or_insert_with(new).into_mut().answer = answer;
    }
}

#[cfg(test)]
mod tests {
    use super::{Answers, ENTRIES, Found, LONGEST, Question};

    fn question(name: &str) -> Question<'_> {
        Question { scope: 0, dylib: 1, name }
    }

    #[test]
    fn answers_are_those_of_their_moment_scope_and_dylib() {
        let answers = Answers::default();
        let found = Some(Found { address: 7, thread_local: None });
        answers.put((1, 1), question("f"), found);
        answers.put((1, 1), question("absent"), None);
        assert_eq!(answers.get((1, 1), question("f")), Some(found));
        assert_eq!(answers.get((1, 1), question("absent")), Some(None));
        assert_eq!(answers.get((1, 1), question("other")), None);
        assert_eq!(answers.get((1, 1), Question { scope: 1, ..question("f") }), None);
        assert_eq!(answers.get((1, 1), Question { dylib: 2, ..question("f") }), None);
        for later in [(2, 1), (1, 2)] {
            assert_eq!(answers.get(later, question("f")), None);
        }
        answers.put((2, 1), question("g"), None);
        assert_eq!(answers.get((1, 1), question("f")), None, "the old moment is over");
    }

    #[test]
    fn it_stays_small() {
        let answers = Answers::default();
        let names: Vec<String> = (0..ENTRIES + 1).map(|number| format!("f{number}")).collect();
        names.iter().for_each(|name| answers.put((1, 1), question(name), None));
        let kept = names.iter().filter(|name| answers.get((1, 1), question(name)).is_some()).count();
        assert_eq!(kept, 1, "when it was full it was emptied");
        let long = "x".repeat(LONGEST + 1);
        answers.put((1, 1), question(&long), None);
        assert_eq!(answers.get((1, 1), question(&long)), None);
    }
}
