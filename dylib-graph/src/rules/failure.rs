//! Rules 14 to 17: what fails leaves nothing behind, and says why.

use super::{Verdict, complete, innermost};
use crate::graph::DylibId;
use crate::loader::VisitorId;
use crate::trace::{Call, Event, Pending, Replay};

/// Everything that a call needs has its place before its first initializer runs. If something cannot be placed, nothing runs, the call fails, and
/// what it had placed is given back.
pub fn rule_14_placed(before: &Replay, visitor: VisitorId, event: &Event) -> Verdict {
    let unplaced = |each: &&DylibId| before.around.tells_places && !before.around.placed[each.index()];
    match *event {
        Event::Init { .. } => {
            let call = innermost(before, visitor)?;
            match (call.unplaceable, call.order.iter().find(unplaced)) {
                (Some(each), _) => Err(format!("{each} cannot be placed")),
                (None, Some(each)) => Err(format!("{each} is not placed yet")),
                (None, None) => Ok(()),
            }
        }
        Event::End { ok, .. } => {
            let call = innermost(before, visitor)?;
            match (call.unplaceable, call.placed.first()) {
                (Some(each), _) if ok => Err(format!("{each} could not be placed")),
                (Some(_), Some(each)) => Err(format!("the memory of {each} stays")),
                _ => Ok(()),
            }
        }
        _ => Ok(()),
    }
}

/// What a failed call counts for is nothing: the loader's count is that of the opens that succeeded, less closes.
pub fn rule_14_count(before: &Replay, _: VisitorId, event: &Event) -> Verdict {
    match *event {
        Event::Count { dylib, count } if count != before.balance(dylib) => {
            Err(format!("{dylib} was opened {} times more than closed", before.balance(dylib)))
        }
        _ => Ok(()),
    }
}

/// The same open fails again, with the same words, until something has happened that could mend it.
pub fn rule_14_again(before: &Replay, visitor: VisitorId, event: &Event) -> Verdict {
    let &Event::End { call, dylib, ok } = event else { return Ok(()) };
    let Some(failure) = before.around.failures.get(&(visitor, call, dylib)) else { return Ok(()) };
    let in_call = innermost(before, visitor)?;
    if call != Call::Open || failure.mode != in_call.mode {
        return Ok(());
    }
    let error = &in_call.error;
    match (&failure.text, error) {
        (text, _) if ok => Err(format!("it failed before, and nothing has changed: {text:?}")),
        (Some(old), Some(new)) if old != new => Err(format!("nothing has changed, and before it said: {old}")),
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

/// A call that was cut is done or as if never begun, and the same open afterwards gets there.
pub fn rule_16(before: &Replay, visitor: VisitorId, event: &Event) -> Verdict {
    match *event {
        Event::End { call: Call::Cut, ok: true, .. } => complete(before, innermost(before, visitor)?),
        Event::End { call: Call::Open, ok: false, dylib } if before.around.cut[dylib.index()] => {
            let call = innermost(before, visitor)?;
            let reason = call.spoiled || (call.mode.noload && !call.was_loaded);
            if reason { Ok(()) } else { Err(format!("an open of {dylib} was cut, and it does not recover from that")) }
        }
        _ => Ok(()),
    }
}

/// The error text belongs to its thread: nothing until an error, the text once, then nothing. Success leaves it alone, every failing call sets it.
pub fn rule_17_once(before: &Replay, visitor: VisitorId, event: &Event) -> Verdict {
    let Event::Taken { text } = event else { return Ok(()) };
    match (before.around.errors.get(&visitor).unwrap_or(&Pending::Nothing), text) {
        (Pending::Nothing, Some(text)) => Err(format!("nothing has failed on {visitor} since it asked: {text}")),
        (Pending::Something | Pending::Text(_), None) => Err(format!("something has failed on {visitor}")),
        (Pending::Text(pending), Some(text)) if pending != text => Err(format!("the text is: {pending}")),
        _ => Ok(()),
    }
}

/// A text names the symbol that was not found and who asked, or a dylib that the failed call was about.
pub fn rule_17_names(before: &Replay, visitor: VisitorId, event: &Event) -> Verdict {
    if !before.around.tells_errors {
        return Ok(());
    }
    match event {
        Event::Lookup { found: None, symbol, .. } => match before.around.errors.get(&visitor) {
            Some(Pending::Text(text)) if text.contains(symbol.as_str()) => Ok(()),
            other => Err(format!("the error does not name {symbol}: {other:?}")),
        },
        Event::End { ok: false, dylib, .. } => {
            let call = innermost(before, visitor)?;
            match &call.error {
                None => Err("no error was set".into()),
                Some(_) if call.error_names.iter().any(|each| before.links().reaches(*dylib, *each)) => Ok(()),
                Some(text) => Err(format!("neither {dylib} nor anything that it needs is named: {text}")),
            }
        }
        _ => Ok(()),
    }
}
