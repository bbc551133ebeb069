//! Where glibc does something else than we do, each with its name, its reason and a program that shows it.
//!
//! You give what both sides had in common, and what each does next; you get the difference that this is, or none: then it is a bug of ours, of
//! glibc or of this list. `orc-rt/README.md` has the same list for users.

use crate::event::{Record, Seen};
use crate::program::Program;
use crate::world::{Frame, World, bit};
use dylib_graph::DylibId;

/// What glibc does otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Difference {
    Siblings,
    Cycle,
    Ancestor,
    Finalizers,
    Overtaking,
    Handlers,
    InnerClose,
    Inside,
    Dying,
    GivenBack,
    NoDelete,
    Scope,
}

impl Difference {
    pub(crate) const ALL: [Self; 12] = [
        Self::Siblings,
        Self::Cycle,
        Self::Ancestor,
        Self::Finalizers,
        Self::Overtaking,
        Self::Handlers,
        Self::InnerClose,
        Self::Inside,
        Self::Dying,
        Self::GivenBack,
        Self::NoDelete,
        Self::Scope,
    ];

    /// What the list for users calls it.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Siblings => "independent links",
            Self::Cycle => "cycles",
            Self::Ancestor => "an open of what waits for the caller",
            Self::Finalizers => "finalizers of independent dylibs",
            Self::Overtaking => "finalizers after inner opens",
            Self::Handlers => "exit handlers",
            Self::InnerClose => "a close inside a finalizer",
            Self::Inside => "a close of what is being initialized",
            Self::Dying => "an open of what is being unloaded",
            Self::GivenBack => "an open that was given back",
            Self::NoDelete => "a close too many under `NODELETE`",
            Self::Scope => "lookups in what was a dependency only",
        }
    }

    /// A program in which it is the first difference, if not the only one.
    pub(crate) fn example(self) -> &'static str {
        match self {
            Self::Siblings => "o1 needs o2 o3; main: open o1",
            // glibc visits o4 first, from there o2, which needs o3 through o4: o2 comes before o3.
            Self::Cycle => "o1 needs o3 o6 o4; o2 needs o1; o4 needs o4; o6 needs o2 o4 o6; main: open o1",
            Self::Ancestor => "o1 needs o2; o2 needs o3; o3 initializer: open o2; main: open o1",
            Self::Finalizers => "o1 needs o2 o3; o3 initializer: open o2, close o2; main: open o1, close o1",
            Self::Overtaking => "o1 needs o2; o2 initializer: open o1; main: open o2, close o2, close o1",
            Self::Handlers => "o1 needs o2 o3; o2 initializer: register, open o3, close o3; main: open o1, close o1",
            Self::InnerClose => "o1 finalizer: close o2; main: open o2, open o1, close o1",
            Self::Inside => "o1 initializer: open o1, close o1, close o1; main: open o1",
            Self::Dying => "o1 finalizer: open o1; main: open o1, close o1",
            Self::GivenBack => "o1 initializer: open o1, open o3, close o1, close o1; o3 needs o1; main: open o1",
            Self::NoDelete => "main: open-nodelete o1, close o1, close o1",
            Self::Scope => {
                "o1 needs o3; o6 needs o3; o3 needs o2; o2 needs o4; main: open o1, open o6, close o1, open o3, find o3 group_2"
            }
        }
    }

    /// Whether both sides may still have done the same when main's act has ended, in another order.
    pub(crate) fn may_converge(self) -> bool {
        self.is_a_choice() || matches!(self, Self::Overtaking | Self::Handlers | Self::Ancestor | Self::InnerClose)
    }

    /// Whether rule 1 leaves this open; it cannot be where that leaves one order.
    pub(crate) fn is_a_choice(self) -> bool {
        matches!(self, Self::Siblings | Self::Cycle | Self::Finalizers)
    }

    /// Whether glibc frees what is in use, or gives out a handle of what it is about to free: then its record means nothing any more.
    pub(crate) fn is_fatal(self) -> bool {
        matches!(self, Self::Inside | Self::Dying)
    }
}

/// Why glibc does `next[0]` and we do `next[1]`; `None` is the end of a record.
pub(crate) fn of_events(world: &World, next: [Option<Seen>; 2]) -> Option<Difference> {
    use Seen::{CloseEnd, Init, OpenEnd};
    if next[0].is_none() && world.in_use() & !world.held() != 0 {
        return Some(Difference::Inside);
    }
    match (world.frames.last()?, next) {
        (&Frame::Open { dylib, todo, given_back, .. }, [glibc, ours]) => match (glibc, ours?) {
            // What goes away cannot be opened; glibc gives the handle of what it frees, or a second copy.
            (_, OpenEnd { ok: false, .. }) if world.reached(dylib) & world.dying() != 0 => Some(Difference::Dying),
            (Some(OpenEnd { ok: true, .. }), OpenEnd { ok: false, .. }) if given_back => Some(Difference::GivenBack),
            // Rule 7: an initializer cannot have run what waits for it, so we do not begin.
            (Some(Init { dylib: a, .. }), _) if world.leads_to_in_hand(a, todo) => Some(Difference::Ancestor),
            (Some(Init { dylib: a, .. }), Init { dylib: b, .. }) if a != b => initialized(world, a, b),
            _ => None,
        },
        (&Frame::Close { dylib, dead }, [glibc, Some(ours)]) => match (glibc, ours) {
            (Some(CloseEnd { ok: true, .. }), CloseEnd { ok: false, .. }) if world.stays & bit(dylib) != 0 => {
                Some(Difference::NoDelete)
            }
            // Rule 23: we wait until the initializer has returned; glibc unmaps it, and dies sooner or later.
            (Some(glibc), CloseEnd { ok: true, .. }) if undoes(glibc).is_some() && dead & world.in_use() != 0 => {
                Some(Difference::Inside)
            }
            (Some(CloseEnd { .. }), ours) if undoes(ours).is_some() && world.is_finalizing() => {
                Some(Difference::InnerClose)
            }
            (Some(glibc), ours) => undone(world, glibc, ours),
            _ => None,
        },
        // Rule 27. When a close unloads something, glibc gives a list of its own to whatever else has none, with direct links only; an open
        // takes it for the whole.
        (&Frame::Find { dylib }, [Some(Seen::FindEnd { .. }), Some(Seen::FindEnd { found: Some(_), .. })])
            if world.narrowed & bit(dylib) != 0 =>
        {
            Some(Difference::Scope)
        }
        _ => None,
    }
}

/// Why glibc initializes `a`, and we `b`.
fn initialized(world: &World, a: DylibId, b: DylibId) -> Option<Difference> {
    if world.needs_first(a, b) {
        // glibc does not condense cycles: from one of its members it comes back to the first before it has seen all links.
        return world.in_cycle(a).then_some(Difference::Cycle);
    }
    match (world.needs_first(b, a), world.reaches(a, b)) {
        // We would be late with `a`, or are right: a choice it is not.
        (true, _) => None,
        (false, true) => Some(Difference::Cycle),
        (false, false) => Some(Difference::Siblings),
    }
}

/// Why glibc undoes something, and we something else.
fn undone(world: &World, glibc: Seen, ours: Seen) -> Option<Difference> {
    let (a, b) = (undoes(glibc)?, undoes(ours)?);
    let handlers = [glibc, ours].map(|seen| matches!(seen, Seen::Handler { .. }));
    if world.needs_first(b, a) {
        return world.in_cycle(b).then_some(Difference::Cycle);
    }
    match handlers {
        // Those of one dylib, last first: on both sides.
        [true, true] if a == b => None,
        [true, _] | [_, true] => Some(Difference::Handlers),
        _ if a == b => None,
        _ if world.overtook(a, b) => Some(Difference::Overtaking),
        _ if !world.needs_first(a, b) => Some(Difference::Finalizers),
        _ => None,
    }
}

/// Whose handler or finalizer this is.
fn undoes(seen: Seen) -> Option<DylibId> {
    match seen {
        Seen::Fini { dylib } | Seen::Handler { dylib, .. } => Some(dylib),
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
            (Some(&Frame::Find { dylib }), Seen::FindEnd { .. }) => {
                note(Difference::Scope, world.narrowed & bit(dylib) != 0);
            }
            (Some(Frame::Close { .. }), Seen::CloseEnd { ok: true, .. }) => {
                note(Difference::Inside, world.in_use() & !world.held() != 0);
            }
            _ => {}
        }
        world.apply(seen);
    }
    found
}

/// What of the rules glibc breaks by these differences, besides the exact orders of 2, 3 and 19.
const BROKEN: [(&str, Difference); 3] =
    [("1", Difference::Cycle), ("7", Difference::Ancestor), ("27", Difference::Scope)];

/// Why the event at `at` of glibc's record breaks a rule.
pub(crate) fn in_the_rules(deviations: &[(usize, Difference)], rule: &str, at: usize) -> Option<Difference> {
    let number = rule.split(':').next()?;
    let here = deviations.iter().filter(|(each, _)| *each == at).map(|(_, what)| *what);
    here.into_iter().find(|what| BROKEN.contains(&(number, *what)))
}

/// Why glibc undoes `dylib`, which `dependant` needs, first.
pub(crate) fn undone_too_early(world: &World, dependant: DylibId, dylib: DylibId) -> Option<Difference> {
    (world.needs_first(dependant, dylib) && world.in_cycle(dependant)).then_some(Difference::Cycle)
}
