//! Where glibc does something else than we do, each with its name and its reason.
//!
//! You give what both sides had in common, and what each does next; you get the difference that this is, or none: then it is a bug of ours, of
//! glibc or of this list.

use crate::event::{End, Record, Seen};
use crate::program::Program;
use crate::world::{Frame, World, bit};
use dylib_graph::DylibId;

/// What glibc does otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Difference {
    Siblings,
    Cycle,
    Ancestor,
    FinalizerOrder,
    HandlerOrder,
    InnerClose,
    Inside,
    Dying,
    NoDelete,
    Overtaking,
    GivenBack,
}

impl Difference {
    pub(crate) const ALL: [Self; 11] = [
        Self::Siblings,
        Self::Cycle,
        Self::Ancestor,
        Self::FinalizerOrder,
        Self::HandlerOrder,
        Self::InnerClose,
        Self::Inside,
        Self::Dying,
        Self::NoDelete,
        Self::Overtaking,
        Self::GivenBack,
    ];

    /// What glibc does, and why we do not.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            _ => "",
        }
    }

    /// Whether it is an order that rule 1 leaves open, so that both sides have done the same in the end.
    pub(crate) fn is_a_choice(self) -> bool {
        matches!(self, Self::Siblings | Self::Cycle | Self::FinalizerOrder | Self::Overtaking | Self::HandlerOrder)
    }

    /// Whether glibc frees what is in use, or gives out a handle of what it is about to free: then its record means nothing any more.
    pub(crate) fn is_fatal(self) -> bool {
        matches!(self, Self::Inside | Self::Dying)
    }
}

/// Why glibc does `next[0]` and we do `next[1]`.
pub(crate) fn of_events(world: &World, next: [Option<Seen>; 2], end: End) -> Option<Difference> {
    let [glibc, ours] = next;
    match (world.frames.last(), glibc, ours) {
        (Some(Frame::Open { .. }), Some(Seen::Init { dylib: a, .. }), Some(Seen::Init { dylib: b, .. }))
            if a != b && !world.needs_first(a, b) && !world.needs_first(b, a) =>
        {
            Some(if world.reaches(a, b) { Difference::Cycle } else { Difference::Siblings })
        }
        (Some(Frame::Open { .. }), Some(Seen::Init { dylib: a, .. }), Some(Seen::Init { dylib: b, .. }))
            if world.needs_first(a, b) && world.in_cycle(a) =>
        {
            Some(Difference::Cycle)
        }
        (Some(&Frame::Open { todo, .. }), Some(Seen::Init { dylib: a, .. }), _) if world.leads_to_in_hand(a, todo) => {
            Some(Difference::Ancestor)
        }
        (Some(Frame::Close { .. }), Some(Seen::Fini { dylib: a }), Some(Seen::Fini { dylib: b }))
            if a != b && !world.needs_first(a, b) && !world.needs_first(b, a) =>
        {
            Some(Difference::FinalizerOrder)
        }
        (Some(Frame::Close { .. }), Some(Seen::Fini { dylib: a }), Some(Seen::Fini { dylib: b }))
            if world.needs_first(b, a) && world.in_cycle(b) =>
        {
            Some(Difference::Cycle)
        }
        (Some(Frame::Close { .. }), Some(Seen::Fini { dylib: a }), Some(Seen::Fini { dylib: b }))
            if world.overtook(a, b) =>
        {
            Some(Difference::Overtaking)
        }
        (
            Some(Frame::Close { .. }),
            Some(Seen::Fini { .. } | Seen::Handler { .. }),
            Some(Seen::Fini { .. } | Seen::Handler { .. }),
        ) if matches!(glibc, Some(Seen::Handler { .. })) || matches!(ours, Some(Seen::Handler { .. })) => {
            Some(Difference::HandlerOrder)
        }
        (Some(Frame::Close { .. }), Some(Seen::CloseEnd { .. }), Some(Seen::Fini { .. } | Seen::Handler { .. }))
            if world.is_finalizing() =>
        {
            Some(Difference::InnerClose)
        }
        (Some(&Frame::Close { dead, .. }), Some(Seen::Fini { .. } | Seen::Handler { .. }) | None, Some(Seen::CloseEnd { ok: true, .. }))
            if dead & world.in_use() != 0 =>
        {
            Some(Difference::Inside)
        }
        (Some(&Frame::Close { dylib, .. }), Some(Seen::CloseEnd { ok: true, .. }), Some(Seen::CloseEnd { ok: false, .. }))
            if world.stays & bit(dylib) != 0 =>
        {
            Some(Difference::NoDelete)
        }
        (
            Some(Frame::Open { given_back: true, .. }),
            Some(Seen::OpenEnd { ok: true, .. }),
            Some(Seen::OpenEnd { ok: false, .. }),
        ) => Some(Difference::GivenBack),
        (Some(&Frame::Open { dylib, .. }), _, Some(Seen::OpenEnd { ok: false, .. }))
            if world.reached(dylib) & world.dying() != 0 =>
        {
            Some(Difference::Dying)
        }
        _ => None,
    }
}

/// Where glibc's record leaves our ways by itself, by position of the event that shows it.
pub(crate) fn deviations(program: &Program, glibc: &Record) -> Vec<(usize, Difference)> {
    let mut world = World::new(&program.links);
    let mut found = Vec::new();
    for (at, &(seen, _)) in glibc.events.iter().enumerate() {
        let mut note = |what, holds| found.extend(bool::then_some(holds, (at, what)));
        match (world.frames.last(), seen) {
            (Some(&Frame::Open { dylib, todo, .. }), Seen::Init { dylib: next, .. }) => {
                note(Difference::Dying, world.reached(dylib) & world.dying() != 0);
                note(Difference::Ancestor, world.leads_to_in_hand(next, todo));
                note(Difference::Cycle, world.in_cycle(next));
            }
            (Some(&Frame::Open { dylib, .. }), Seen::OpenEnd { ok: true, .. }) => {
                note(Difference::Dying, world.reached(dylib) & world.dying() != 0);
            }
            (Some(&Frame::Close { dead, .. }), Seen::Fini { .. } | Seen::Handler { .. }) => {
                note(Difference::Inside, dead & world.in_use() != 0);
            }
            (Some(&Frame::Close { dead, .. }), Seen::CloseEnd { .. }) => {
                note(Difference::InnerClose, world.is_finalizing() && dead & world.ready != 0);
            }
            _ => {}
        }
        world.apply(seen);
    }
    found
}

/// What of a rule is broken by what glibc does.
const BROKEN: [(&str, Difference); 3] =
    [("1", Difference::Cycle), ("7", Difference::Ancestor), ("23", Difference::Inside)];

/// Why the event at `at` of glibc's record breaks a rule.
pub(crate) fn in_the_rules(deviations: &[(usize, Difference)], rule: &str, at: usize) -> Option<Difference> {
    let number = rule.split(':').next()?;
    let before = deviations.iter().rev().filter(|(each, _)| *each <= at);
    before.map(|(_, what)| *what).find(|what| BROKEN.contains(&(number, *what)))
}

/// Why glibc undoes `dylib`, which `dependant` needs, first.
pub(crate) fn undone_too_early(world: &World, dependant: DylibId, dylib: DylibId) -> Option<Difference> {
    (world.needs_first(dependant, dylib) && world.in_cycle(dependant)).then_some(Difference::Cycle)
}
