//! Rules 1 to 6: in which order initializers run.

use super::{Verdict, complete, innermost};
use crate::graph::DylibId;
use crate::init::ArrayKind;
use crate::loader::VisitorId;
use crate::trace::{Call, Event, Replay, Trace};

/// If `a` reaches `b` and `b` does not reach `a`, all of `b`'s initializers finish before `a`'s first one starts; unless the code that
/// asked for `a` is itself part of what `b` waits for (rules 7 and 8).
pub fn rule_1(before: &Replay, visitor: VisitorId, event: &Event) -> Verdict {
    let &Event::Init { dylib } = event else { return Ok(()) };
    let links = &innermost(before, visitor)?.links;
    let in_hand = |each| links.reached_by(each).iter().any(|&each| before.is_running(each));
    let late = |&each: &DylibId| !before.is_ready(each) && !links.reaches(each, dylib) && !in_hand(each);
    match links.reached_by(dylib).into_iter().find(late) {
        Some(each) => Err(format!("{dylib} reaches {each}, which is not initialized")),
        None => Ok(()),
    }
}

/// What one call runs comes in depth-first post-order with cycles condensed, as the links were when it began.
pub fn rule_2(before: &Replay, visitor: VisitorId, event: &Event) -> Verdict {
    let &Event::Init { dylib } = event else { return Ok(()) };
    let call = innermost(before, visitor)?;
    let place = |dylib| call.order.iter().position(|&each| each == dylib);
    match call.ran.iter().find(|&&each| place(each) > place(dylib)) {
        Some(each) => Err(format!("{dylib} comes before {each} in the order of {}", call.dylib)),
        None => Ok(()),
    }
}

/// Self-links and repeated links change nothing: what one call runs comes in the order of the links without them.
pub fn rule_3(before: &Replay, visitor: VisitorId, event: &Event) -> Verdict {
    let &Event::Init { dylib } = event else { return Ok(()) };
    let call = innermost(before, visitor)?;
    let order = call.links.plain().init_order(call.dylib);
    let place = |dylib| order.iter().position(|&each| each == dylib);
    match call.ran.iter().find(|&&each| place(each) > place(dylib)) {
        Some(each) => Err(format!("without self-links and repeated links, {dylib} comes before {each}")),
        None => Ok(()),
    }
}

/// The same graph, the same link orders and the same calls give the same trace. `renamed` says what the dylibs of `one` are called in `other`.
///
/// # Errors
/// Where the traces part.
pub fn rule_3_same(one: &Trace, other: &Trace, renamed: impl Fn(DylibId) -> DylibId) -> Verdict {
    let renamed = |dylibs: Vec<DylibId>| dylibs.into_iter().map(&renamed).collect::<Vec<_>>();
    for (what, one, other) in [("initializers", one.inits(), other.inits()), ("finalizers", one.finis(), other.finis())]
    {
        let one = renamed(one);
        if let Some(at) = (0..one.len().max(other.len())).find(|&at| one.get(at) != other.get(at)) {
            return Err(format!("{what} part at {at}: {:?} and {:?}", one.get(at), other.get(at)));
        }
    }
    Ok(())
}

/// Each initializer runs exactly once between two unloads.
pub fn rule_4_once(before: &Replay, _: VisitorId, event: &Event) -> Verdict {
    match *event {
        Event::Init { dylib } if before.is_ready(dylib) && !before.has_new_code(dylib) => {
            Err(format!("{dylib} has been initialized, and nothing was added"))
        }
        _ => Ok(()),
    }
}

/// What the root reaches is initialized when open returns, and nothing else is.
pub fn rule_4_whole(before: &Replay, visitor: VisitorId, event: &Event) -> Verdict {
    match *event {
        Event::Init { dylib } => {
            let call = innermost(before, visitor)?;
            if call.initializes() && call.order.contains(&dylib) {
                Ok(())
            } else {
                Err(format!("{} does not reach {dylib}", call.dylib))
            }
        }
        Event::End { call: Call::Open | Call::Update, ok: true, .. } => {
            let call = innermost(before, visitor)?;
            if before.calls(visitor).len() > 1 { Ok(()) } else { complete(before, call) }
        }
        _ => Ok(()),
    }
}

/// Inside a dylib: `.preinit_array` first and of the program only, then ascending priority; at equal priority objects, sections and
/// entries in order, `.ctors` from the last entry to the first. Batches of code one after the other.
pub fn rule_6(before: &Replay, visitor: VisitorId, event: &Event) -> Verdict {
    let &Event::Initializer { dylib, batch, section, entry } = event else { return Ok(()) };
    if innermost(before, visitor)?.running != Some(dylib) {
        return Err(format!("the initializers of {dylib} are not running"));
    }
    let program = before.around.program;
    if section.kind == ArrayKind::Preinit && program.is_some_and(|program| program != dylib) {
        return Err(format!("{dylib} is not the program, whose .preinit_array alone is run"));
    }
    let Some(Event::Initializer { batch: old_batch, section: old, entry: old_entry, .. }) =
        before.around.called[dylib.index()]
    else {
        return Ok(());
    };
    let follows = if (batch, section) == (old_batch, old) {
        if section.kind.runs_backward() { entry < old_entry } else { entry > old_entry }
    } else {
        (batch, section.key()) > (old_batch, old.key())
    };
    if follows { Ok(()) } else { Err(format!("it comes before entry {old_entry} of {old:?}")) }
}
