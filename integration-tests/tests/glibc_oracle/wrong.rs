//! Does the comparison refuse anything? Records that were right, with one change each that makes them wrong, on either side.
//!
//! You give objects; you get what passed though it must not. Not a list of everything that can go wrong.

use crate::compare::compare;
use crate::event::Seen;
use crate::objects::Objects;
use crate::played;

type Events = Vec<(Seen, u32)>;
type Change = fn(&mut Events);

/// Every change, by what it pretends.
const CHANGES: [(&str, Change); 10] = [
    ("initializers in another order", swap_initializers),
    ("an initializer is missing", |events| cut(events, |seen| matches!(seen, Seen::Init { .. }))),
    ("a finalizer is missing", |events| cut(events, |seen| matches!(seen, Seen::Fini { .. }))),
    ("a handler is missing", |events| cut(events, |seen| matches!(seen, Seen::Handler { .. }))),
    ("another answer of dlopen", |events| {
        change(events, |seen| if let Seen::OpenEnd { ok, .. } = seen { std::mem::take(ok) } else { false });
    }),
    ("another answer of dlclose", |events| {
        change(events, |seen| if let Seen::CloseEnd { ok, .. } = seen { std::mem::take(ok) } else { false });
    }),
    ("another answer of dlsym", |events| {
        change(events, |seen| if let Seen::FindEnd { found, .. } = seen { found.take().is_some() } else { false });
    }),
    ("used data", |events| {
        change(events, |seen| if let Seen::Init { pristine, .. } = seen { std::mem::take(pristine) } else { false });
    }),
    ("something stays in memory", |events| {
        if let Some((_, loaded)) = events.last_mut() {
            *loaded = 2;
        }
    }),
    ("the record breaks off", |events| events.truncate(events.len() / 2)),
];

pub(crate) fn records_are_refused(objects: &Objects, name: &str) -> Result<(), String> {
    let text = "o1 needs o2; o2 initializer: register; main: open o1, open o2, find o1 group_1, close o1, close o2";
    let (program, right, _) = played(objects, name, text)?;
    for side in [0, 1] {
        for (what, change) in CHANGES {
            let mut records = right.clone();
            change(&mut records[side].events);
            assert_ne!(records[side].events, right[side].events, "side {side}: {what}: nothing was changed");
            assert!(compare(&program, &records).is_err(), "side {side}: not refused: {what}");
        }
    }
    Ok(())
}

/// `change` says whether it has changed an event; it changes one.
fn change(events: &mut Events, change: fn(&mut Seen) -> bool) {
    events.iter_mut().find_map(|(seen, _)| change(seen).then_some(()));
}

/// Takes out the first event of a kind, and what is inside it, up to its end.
fn cut(events: &mut Events, kind: fn(&Seen) -> bool) {
    if let Some(first) = events.iter().position(|(seen, _)| kind(seen)) {
        events.drain(first..=end(events, first));
    }
}

/// Where what begins at `first` ends.
fn end(events: &Events, first: usize) -> usize {
    let mut depth = 0;
    let ends = events[first..].iter().position(|(seen, _)| {
        depth += usize::from(seen.begins());
        depth -= usize::from(seen.ends());
        depth == 0
    });
    first + ends.unwrap_or_default()
}

/// The first two that follow each other.
fn swap_initializers(events: &mut Events) {
    let Some(first) = events.iter().position(|(seen, _)| matches!(seen, Seen::Init { .. })) else { return };
    let middle = end(events, first) + 1;
    let last = end(events, middle);
    events[first..=last].rotate_left(middle - first);
}
