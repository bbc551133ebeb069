//! Rules 27 to 30: names, scopes, modes, and whose definition is everybody's.

use super::threads::is_exit;
use super::{Verdict, innermost};
use crate::graph::DylibId;
use crate::loader::VisitorId;
use crate::scope::Scope;
use crate::trace::{Definition, Event, Kind, Replay, Resolved};

/// A symbol is that of the first dylib in its scope that defines it for others: breadth first in link order from a handle; the program, what is
/// global, and what the one who asks reaches; or what follows that one.
pub fn rule_27(before: &Replay, _: VisitorId, event: &Event) -> Verdict {
    let Event::Lookup { scope, asking, symbol, found } = event else { return Ok(()) };
    let around = &before.around;
    let order = before.links().scope(*scope, around.program, &around.global, *asking);
    let expected = order.into_iter().find(|&each| exports(before, each, symbol));
    if expected == *found { Ok(()) } else { Err(format!("the first in {scope:?} that defines it is {expected:?}")) }
}

/// A weak reference that nobody defines is null; one that somebody defines is not, and its own dylib is asked first.
pub fn rule_27_weak(before: &Replay, _: VisitorId, event: &Event) -> Verdict {
    let Event::Refer { dylib, symbol, found } = event else { return Ok(()) };
    let own = |each| each == *dylib && before.around.definition(each, symbol).is_some();
    let order = before.links().search_order(*dylib);
    let expected = order.into_iter().find(|&each| own(each) || exports(before, each, symbol));
    if expected == *found { Ok(()) } else { Err(format!("the first that defines it is {expected:?}")) }
}

/// `NOLOAD` loads nothing, `NODELETE` lets nothing go but with the whole program, and no name at all is the program.
pub fn rule_28_modes(before: &Replay, visitor: VisitorId, event: &Event) -> Verdict {
    match *event {
        Event::Init { .. } | Event::End { ok: true, .. } => {
            let call = innermost(before, visitor)?;
            let loads = call.mode.noload && !call.was_loaded && !call.was_placed;
            if loads { Err(format!("{} was not loaded, and NOLOAD was given", call.dylib)) } else { Ok(()) }
        }
        Event::Unload { ref dylibs } if !is_exit(before, visitor) => {
            match before.around.kept.iter().find(|each| dylibs.contains(each)) {
                Some(each) => Err(format!("{each} was opened with NODELETE")),
                None => Ok(()),
            }
        }
        Event::Mode { mode } if mode.null => {
            let dylib = innermost(before, visitor)?.dylib;
            if before.around.program == Some(dylib) { Ok(()) } else { Err(format!("{dylib} is not the program")) }
        }
        _ => Ok(()),
    }
}

/// An address is described by the dylib in whose memory it is, and by the nearest symbol at or before it.
pub fn rule_28_address(before: &Replay, _: VisitorId, event: &Event) -> Verdict {
    let Event::Describe { dylib, at, said } = event else { return Ok(()) };
    let around = &before.around;
    let placed = around.placed[dylib.index()];
    let there = placed || !around.tells_places;
    let Some(said) = said else {
        return if placed { Err(format!("it is in {dylib}")) } else { Ok(()) };
    };
    if said.dylib != *dylib || !(there || around.parked[dylib.index()]) {
        return Err(format!("{dylib} is {}", if there { "there" } else { "not loaded" }));
    }
    let places = around.definitions[dylib.index()].iter().map(|definition| definition.at);
    let nearest = places.filter(|place| place <= at).max();
    match &said.symbol {
        None if nearest.is_none() => Ok(()),
        Some((symbol, distance))
            if around.definition(*dylib, symbol).is_some_and(|each| Some(each.at) == nearest)
                && nearest.is_some_and(|nearest| nearest + distance == *at) =>
        {
            Ok(())
        }
        _ => Err(format!("the nearest symbol lies at {nearest:?}")),
    }
}

/// What linked code asks for by name is the dylib of that name; the system is asked only when there is none.
pub fn rule_29(before: &Replay, _: VisitorId, event: &Event) -> Verdict {
    let Event::Resolve { name, to } = event else { return Ok(()) };
    match (before.around.names.get(name), to) {
        (Some(dylib), to) if *to != Resolved::Dylib(*dylib) => Err(format!("{dylib} has that name")),
        (None, Resolved::Dylib(_)) => Err("no dylib has that name".into()),
        _ => Ok(()),
    }
}

/// A weak, grouped or unique definition yields to the first placed dylib in the order of lookups that defines it, groups as a whole;
/// a unique one otherwise to the first in the session; that of a dylib which stands apart, never. Others may yield to that one.
pub fn rule_30(before: &Replay, _: VisitorId, event: &Event) -> Verdict {
    let Event::Unify { dylib, symbol, owner } = event else { return Ok(()) };
    let around = &before.around;
    let Some(definition) = around.definition(*dylib, symbol) else {
        return Err(format!("{dylib} does not define it"));
    };
    if let Kind::Group(group) = &definition.kind
        && let Some(stands) = around.groups.get(&(*dylib, group.clone()))
        && *stands != (owner == dylib)
    {
        return Err(format!("the group {group} of {dylib} is split"));
    }
    let expected = owner_of(before, *dylib, definition);
    if expected == *owner { Ok(()) } else { Err(format!("it is that of {expected}")) }
}

fn owner_of(before: &Replay, dylib: DylibId, definition: &Definition) -> DylibId {
    let around = &before.around;
    if around.apart[dylib.index()] || matches!(definition.kind, Kind::Strong | Kind::Hidden) {
        return dylib;
    }
    let takes_part = |each: DylibId| around.placed[each.index()] || !around.tells_places;
    let defines = |each: DylibId| match &definition.kind {
        Kind::Group(_) => around.definitions[each.index()].iter().any(|other| other.kind == definition.kind),
        _ => exports(before, each, &definition.symbol),
    };
    let order = before.links().scope(Scope::Default, around.program, &around.global, Some(dylib));
    let first = order.into_iter().find(|&each| takes_part(each) && defines(each)).unwrap_or(dylib);
    match around.unique.get(&definition.symbol) {
        Some(&unique) if first == dylib && definition.kind == Kind::Unique => unique,
        _ => first,
    }
}

fn exports(before: &Replay, dylib: DylibId, symbol: &str) -> bool {
    before.around.definition(dylib, symbol).is_some_and(|definition| definition.kind != Kind::Hidden)
}
