//! The rules of opening and closing, one function each; the numbers are those of the crate's documentation.
//!
//! You give what happened before an event, and the event; a rule says what is wrong with it. Not for rules that no
//! trace can show: 5 (cost), 6 (inside a dylib), 14 (no change after a refusal), 17, 21, 24, 27 to 30 (the executor's).

use crate::graph::DylibId;
use crate::loader::VisitorId;
use crate::trace::{Call, Event, InCall, Replay, Rule};

/// Every rule, with the name that a refutation shows.
pub const ALL: [(&str, Rule); 17] = [
    ("1: dependencies first", rule_1),
    ("2: depth-first, in link order", rule_2),
    ("4: exactly once", rule_4_once),
    ("4: everything, and nothing else", rule_4_whole),
    ("7: what is in progress is left alone", rule_7),
    ("8: an inner open is complete", rule_8),
    ("9: failures have a reason", rule_9),
    ("10: new code waits for the next open", rule_10),
    ("11: one visitor initializes", rule_11),
    ("15: poisoned until unloaded", rule_15),
    ("18: opens less closes", rule_18_count),
    ("18: dependencies live", rule_18_lives),
    ("19: exact reverse", rule_19),
    ("22: unloaded is forgotten", rule_22),
    ("23: nobody inside is unloaded", rule_23),
    ("25: updates need an open dylib", rule_25),
    ("26: nothing unheld stays", rule_26),
];

type Verdict = Result<(), String>;

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

/// An open of a dylib in progress, from an initializer that it reaches, runs nothing.
pub fn rule_7(before: &Replay, visitor: VisitorId, event: &Event) -> Verdict {
    match event {
        Event::Init { dylib } if innermost(before, visitor)?.in_progress => {
            Err(format!("{dylib} belongs to the call that is at it already"))
        }
        _ => Ok(()),
    }
}

/// An open inside an initializer is complete when it returns, but for what it finds in progress.
pub fn rule_8(before: &Replay, visitor: VisitorId, event: &Event) -> Verdict {
    match event {
        Event::End { call: Call::Open | Call::Update, ok: true, .. } => {
            let call = innermost(before, visitor)?;
            if call.in_progress { Ok(()) } else { complete(before, call) }
        }
        _ => Ok(()),
    }
}

/// A call fails only because of a dylib that it needs: an inner failure does not spoil an outer call.
pub fn rule_9(before: &Replay, visitor: VisitorId, event: &Event) -> Verdict {
    match *event {
        Event::End { call: Call::Open, ok: false, .. } => {
            let spoiled = innermost(before, visitor)?.spoiled;
            if spoiled { Ok(()) } else { Err("nothing that it needs has failed".into()) }
        }
        _ => Ok(()),
    }
}

/// A call runs each dylib once at most: code that comes meanwhile waits for the next.
pub fn rule_10(before: &Replay, visitor: VisitorId, event: &Event) -> Verdict {
    match event {
        Event::Init { dylib } if innermost(before, visitor)?.ran.contains(dylib) => {
            Err(format!("this call has run {dylib} before"))
        }
        _ => Ok(()),
    }
}

/// Nobody runs a dylib that somebody runs already.
pub fn rule_11(before: &Replay, _: VisitorId, event: &Event) -> Verdict {
    match *event {
        Event::Init { dylib } if before.is_running(dylib) => Err(format!("{dylib} is running already")),
        _ => Ok(()),
    }
}

/// After an initializer threw, every open that needs its dylib fails until it is unloaded, and the dylib is not run.
pub fn rule_15(before: &Replay, visitor: VisitorId, event: &Event) -> Verdict {
    match *event {
        Event::Init { dylib } if before.is_poisoned(dylib) => Err(format!("{dylib} is poisoned")),
        Event::End { call: Call::Open | Call::Update, ok: true, .. } => {
            let call = innermost(before, visitor)?;
            match call.unusable.iter().find(|&&each| before.is_poisoned(each)) {
                Some(each) => Err(format!("{each} is poisoned")),
                None => Ok(()),
            }
        }
        _ => Ok(()),
    }
}

/// A close succeeds exactly when there is an open to take back.
pub fn rule_18_count(before: &Replay, visitor: VisitorId, event: &Event) -> Verdict {
    let &Event::End { call: Call::Close, ok, dylib } = event else { return Ok(()) };
    match (ok, innermost(before, visitor)?.was_open) {
        (true, false) => Err(format!("{dylib} was not open")),
        (false, true) => Err(format!("{dylib} was open")),
        _ => Ok(()),
    }
}

/// An initialized dylib lives while an open one reaches it.
pub fn rule_18_lives(before: &Replay, _: VisitorId, event: &Event) -> Verdict {
    let Event::Unload { dylibs } = event else { return Ok(()) };
    let alive = held(before);
    match dylibs.iter().find(|each| before.is_ready(**each) && alive.contains(each)) {
        Some(each) => Err(format!("an open dylib reaches {each}")),
        None => Ok(()),
    }
}

/// What is unloaded is undone in exact reverse of what completed, all of it, before its memory goes.
pub fn rule_19(before: &Replay, visitor: VisitorId, event: &Event) -> Verdict {
    match event {
        Event::Fini { dylib } => match innermost(before, visitor)?.undo.last() {
            Some(next) if next == dylib => Ok(()),
            Some(next) => Err(format!("{next} completed after {dylib}")),
            None => Err(format!("{dylib} has no run to undo")),
        },
        Event::Release { dylibs } => {
            let call = innermost(before, visitor)?;
            match call.undo.last() {
                Some(each) => Err(format!("{each} has finalizers to run")),
                None if call.unloads == *dylibs => Ok(()),
                None => Err(format!("{:?} were unloaded", call.unloads)),
            }
        }
        _ => Ok(()),
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

/// A dylib whose initializers are running is not unloaded, nor is what it reaches.
pub fn rule_23(before: &Replay, _: VisitorId, event: &Event) -> Verdict {
    let Event::Unload { dylibs } = event else { return Ok(()) };
    match dylibs.iter().find(|&&each| before.is_running(each) || before.is_unloading(each)) {
        Some(each) => Err(format!("{each} is inside its own initializers or finalizers")),
        None => Ok(()),
    }
}

/// An update of a dylib that is not open fails.
pub fn rule_25(before: &Replay, visitor: VisitorId, event: &Event) -> Verdict {
    match *event {
        Event::End { call: Call::Update, ok: true, dylib } if !innermost(before, visitor)?.was_open => {
            Err(format!("{dylib} was not open"))
        }
        _ => Ok(()),
    }
}

/// When a close ends that was alone, every initialized dylib is reached by an open one.
pub fn rule_26(before: &Replay, visitor: VisitorId, event: &Event) -> Verdict {
    let Event::End { call: Call::Close, ok: true, .. } = event else { return Ok(()) };
    let call = innermost(before, visitor)?;
    // A finalizer, or another visitor, may have changed a link order after the close had looked.
    if call.accompanied || *call.links != *before.links() {
        return Ok(());
    }
    let mut alive = vec![false; before.dylibs().count()];
    for root in before.dylibs().filter(|&each| before.balance(each) > 0) {
        before.links().reached_by(root).into_iter().for_each(|each| alive[each.index()] = true);
    }
    match before.dylibs().find(|&each| before.is_ready(each) && !alive[each.index()]) {
        Some(each) => Err(format!("no open dylib reaches {each}")),
        None => Ok(()),
    }
}

/// Everything that the call's dylib reached, and reaches still, is initialized or in progress.
fn complete(before: &Replay, call: &InCall) -> Verdict {
    let in_hand = |each| call.links.reached_by(each).iter().any(|&each| before.is_running(each));
    let missing = |each: DylibId| !before.is_ready(each) && before.links().reaches(call.dylib, each) && !in_hand(each);
    match call.order.iter().find(|&&each| missing(each)) {
        Some(each) => Err(format!("{each} is not initialized")),
        None => Ok(()),
    }
}

/// What dylibs with a count reach through initialized ones. A close in progress has taken its count back.
fn held(before: &Replay) -> Vec<DylibId> {
    let counted = |&each: &DylibId| before.balance(each) > 0;
    let mut held: Vec<_> = before.dylibs().filter(counted).collect();
    let mut next = 0;
    while let Some(&dylib) = held.get(next) {
        next += 1;
        if before.is_ready(dylib) && !before.is_unloading(dylib) {
            for &link in before.links().of(dylib) {
                if !held.contains(&link) {
                    held.push(link);
                }
            }
        }
    }
    held
}

fn innermost(before: &Replay, visitor: VisitorId) -> Result<&InCall, String> {
    before.calls(visitor).last().ok_or_else(|| format!("{visitor} is not inside a call"))
}
