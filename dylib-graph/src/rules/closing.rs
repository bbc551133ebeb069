//! Rules 18 to 20, 22 and 23: counts, what lives, and how it goes.

use super::threads::is_exit;
use super::{Verdict, held, innermost};
use crate::loader::VisitorId;
use crate::trace::{Call, Event, Replay, Undone};

/// A close succeeds exactly when there is an open to take back.
pub fn rule_18_count(before: &Replay, visitor: VisitorId, event: &Event) -> Verdict {
    let &Event::End { call: Call::Close, ok, dylib } = event else { return Ok(()) };
    match (ok, innermost(before, visitor)?.was_open) {
        (true, false) => Err(format!("{dylib} was not open")),
        (false, true) => Err(format!("{dylib} was open")),
        _ => Ok(()),
    }
}

/// An initialized dylib lives while an open one reaches it, unless the program ends.
pub fn rule_18_lives(before: &Replay, visitor: VisitorId, event: &Event) -> Verdict {
    let Event::Unload { dylibs } = event else { return Ok(()) };
    if is_exit(before, visitor) {
        return Ok(());
    }
    let alive = held(before);
    match dylibs.iter().find(|each| before.is_ready(**each) && alive.contains(each)) {
        Some(each) => Err(format!("an open dylib reaches {each}")),
        None => Ok(()),
    }
}

/// What is unloaded is undone in exact reverse of what happened, runs and handlers alike, all of it, before its memory goes. What a handler
/// registers comes next.
pub fn rule_19(before: &Replay, visitor: VisitorId, event: &Event) -> Verdict {
    let next = match *event {
        Event::Fini { dylib } => (dylib, Undone::Run),
        Event::Handler { dylib, handler } => (dylib, Undone::Handler(handler)),
        Event::Release { ref dylibs } => {
            let call = innermost(before, visitor)?;
            return match call.undo.last() {
                Some(each) => Err(format!("{:?} of {} is to be undone", each.what, each.dylib)),
                None if call.unloads == *dylibs => Ok(()),
                None => Err(format!("{:?} were unloaded", call.unloads)),
            };
        }
        _ => return Ok(()),
    };
    match innermost(before, visitor)?.undo.last() {
        Some(undo) if (undo.dylib, undo.what) == next => Ok(()),
        Some(undo) => Err(format!("{:?} of {} is the latest", undo.what, undo.dylib)),
        None => Err(format!("{:?} of {} is not to be undone", next.1, next.0)),
    }
}

/// A handler belongs to the dylib whose code has registered it, and runs when that is unloaded or the program ends, not before.
pub fn rule_20_handlers(before: &Replay, visitor: VisitorId, event: &Event) -> Verdict {
    match *event {
        Event::AtExit { dylib, .. } => match before.inside(visitor).last() {
            Some(&caller) if caller != dylib => Err(format!("{caller} has registered it")),
            _ => Ok(()),
        },
        Event::Handler { dylib, handler } => {
            let known = before.around.handlers.iter().any(|each| (each.dylib, each.handler) == (dylib, handler));
            let going = before.calls(visitor).last().is_some_and(|call| call.unloads.contains(&dylib));
            match (known, going) {
                (false, _) => Err(format!("{dylib} has no such handler, or it has run")),
                (true, false) => Err(format!("{dylib} is not being unloaded")),
                (true, true) => Ok(()),
            }
        }
        _ => Ok(()),
    }
}

/// A program's exit undoes everything that has completed.
pub fn rule_20_exit(before: &Replay, visitor: VisitorId, event: &Event) -> Verdict {
    let nothing = Vec::new();
    let dylibs = match event {
        Event::Unload { dylibs } => dylibs,
        Event::End { call: Call::Exit, .. } => &nothing,
        _ => return Ok(()),
    };
    let call = innermost(before, visitor)?;
    if call.call != Call::Exit || !call.unloads.is_empty() {
        return Ok(());
    }
    match before.dylibs().find(|each| before.is_ready(*each) && !dylibs.contains(each)) {
        Some(each) => Err(format!("{each} is initialized, and stays so")),
        None => Ok(()),
    }
}

/// Nothing runs in a dylib between the beginning of its unload and its release; after that, it runs as if for the first time
/// (by rules 4 and 8, which count from the release).
pub fn rule_22(before: &Replay, _: VisitorId, event: &Event) -> Verdict {
    match *event {
        Event::Init { dylib } if before.is_unloading(dylib) => Err(format!("{dylib} is being unloaded")),
        _ => Ok(()),
    }
}

/// A dylib that is opened again has pristine data: nothing of what its code did before the unload is left.
pub fn rule_22_data(before: &Replay, _: VisitorId, event: &Event) -> Verdict {
    match *event {
        Event::Touch { dylib, before: found } if found != before.around.touched[dylib.index()] => {
            Err(format!("{dylib} has counted to {} since it was loaded", before.around.touched[dylib.index()]))
        }
        _ => Ok(()),
    }
}

/// A dylib whose initializers are running is not unloaded, nor is one on its way out, unless the program ends.
pub fn rule_23(before: &Replay, visitor: VisitorId, event: &Event) -> Verdict {
    let Event::Unload { dylibs } = event else { return Ok(()) };
    if is_exit(before, visitor) {
        return Ok(());
    }
    match dylibs.iter().find(|&&each| before.is_running(each) || before.is_unloading(each)) {
        Some(each) => Err(format!("{each} is inside its own initializers or finalizers")),
        None => Ok(()),
    }
}
