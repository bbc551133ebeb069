//! Rules 7 to 10, 25 and 26: opens inside of opens, updates, changed links.

use super::{Verdict, complete, innermost};
use crate::loader::VisitorId;
use crate::trace::{Call, Event, Replay};

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
            let call = innermost(before, visitor)?;
            if call.spoiled || (call.mode.noload && !call.was_loaded) {
                Ok(())
            } else {
                Err("nothing that it needs has failed".into())
            }
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
    for root in before.dylibs().filter(|&each| before.balance(each) > 0 || before.around.kept.contains(&each)) {
        before.links().reached_by(root).into_iter().for_each(|each| alive[each.index()] = true);
    }
    match before.dylibs().find(|&each| before.is_ready(each) && !alive[each.index()]) {
        Some(each) => Err(format!("no open dylib reaches {each}")),
        None => Ok(()),
    }
}
