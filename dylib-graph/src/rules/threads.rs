//! Rules 11 to 13, 21 and 24: several threads, what they wait for, what they are inside of.

use super::Verdict;
use crate::graph::DylibId;
use crate::loader::VisitorId;
use crate::trace::{Call, Event, Replay};

/// Nobody runs a dylib that somebody runs already.
pub fn rule_11(before: &Replay, _: VisitorId, event: &Event) -> Verdict {
    match *event {
        Event::Init { dylib } if before.is_running(dylib) => Err(format!("{dylib} is running already")),
        _ => Ok(()),
    }
}

/// Opens get on side by side: whoever waits needs the dylib, and somebody is at it or will come to it without anybody's help. Who is inside an
/// initializer, or waits for the end of a thread, has no claim on dylibs that come later in its plan.
pub fn rule_12(before: &Replay, visitor: VisitorId, event: &Event) -> Verdict {
    match *event {
        Event::Wait { root, dylib } if !is_needed(before, visitor, root, dylib) => {
            Err(format!("{root} does not reach {dylib}"))
        }
        Event::Wait { dylib, .. } if before.holder(dylib).is_none() => {
            let will_come = |&other: &VisitorId| {
                let call = before.calls(other).last();
                let next = call.is_some_and(|call| call.running.is_none() && call.order.contains(&dylib));
                other != visitor && next && before.joins(other).is_none()
            };
            // Its memory has gone, and the call that saw to it has not come to its end.
            let leaves = |&other: &VisitorId| {
                other != visitor && before.calls(other).iter().any(|call| call.unloads.contains(&dylib))
            };
            match before.visitors().find(|other| will_come(other) || leaves(other)) {
                Some(_) => Ok(()),
                None => Err(format!("nobody is at {dylib}, nor free to come to it")),
            }
        }
        Event::Joined { thread } if !before.calls(thread).is_empty() => Err(format!("{thread} is inside a call")),
        _ => Ok(()),
    }
}

/// Whether `root` reaches `dylib`, now or when the call began.
fn is_needed(before: &Replay, visitor: VisitorId, root: DylibId, dylib: DylibId) -> bool {
    let call = before.calls(visitor).last().filter(|call| call.dylib == root && call.running.is_none());
    before.links().reaches(root, dylib) || call.is_some_and(|call| call.order.contains(&dylib))
}

/// Nobody begins to wait for a dylib whose holder waits, over however many others, for the same visitor.
pub fn rule_13(before: &Replay, visitor: VisitorId, event: &Event) -> Verdict {
    let &Event::Wait { mut dylib, .. } = event else { return Ok(()) };
    let mut passed = Vec::new();
    while let Some(holder) = before.holder(dylib) {
        if holder == visitor {
            return Err(format!("a cycle of waits: {dylib} is in the hands of the one who waits, over {passed:?}"));
        }
        if passed.contains(&holder) {
            break;
        }
        passed.push(holder);
        let Some(next) = before.waits_for(holder) else { break };
        dylib = next;
    }
    Ok(())
}

/// An object's destructor runs once, on the thread that owns it, later objects first; and no dylib goes whose code is still needed for one,
/// unless with the whole program.
pub fn rule_21(before: &Replay, visitor: VisitorId, event: &Event) -> Verdict {
    let objects = &before.around.objects;
    match *event {
        Event::ThreadLocalEnd { dylib, object } => {
            let Some(at) = objects.iter().position(|each| each.object == object && each.dylib == dylib) else {
                return Err(format!("object {object} of {dylib} is not there, or was destroyed before"));
            };
            if objects[at].owner != visitor {
                return Err(format!("it belongs to {}", objects[at].owner));
            }
            match objects[at + 1..].iter().find(|each| each.owner == visitor && each.dylib == dylib) {
                Some(later) => Err(format!("object {} was made later", later.object)),
                None => Ok(()),
            }
        }
        Event::Release { ref dylibs } if !is_exit(before, visitor) => {
            match objects.iter().find(|each| dylibs.contains(&each.dylib)) {
                Some(each) => Err(format!("{} has object {} of {}", each.owner, each.object, each.dylib)),
                None => Ok(()),
            }
        }
        _ => Ok(()),
    }
}

/// Memory does not go while a thread is inside: it is parked until the last one has left, and nothing runs in a dylib whose old memory is parked.
pub fn rule_24(before: &Replay, visitor: VisitorId, event: &Event) -> Verdict {
    let parked = |dylib: DylibId| before.around.parked[dylib.index()];
    match *event {
        Event::Release { ref dylibs } if !is_exit(before, visitor) => {
            let inside = |&dylib: &DylibId| Some((before.around.entered(dylib).filter(|_| !parked(dylib))?, dylib));
            match dylibs.iter().find_map(inside) {
                Some((other, dylib)) => Err(format!("{other} is inside {dylib}")),
                None => Ok(()),
            }
        }
        Event::Free { dylib } => match before.around.entered(dylib) {
            Some(other) => Err(format!("{other} is inside {dylib}")),
            None if parked(dylib) => Ok(()),
            None => Err(format!("{dylib} was not parked")),
        },
        Event::Init { dylib } | Event::Place { dylib } if parked(dylib) => {
            Err(format!("the old memory of {dylib} is still there"))
        }
        _ => Ok(()),
    }
}

pub(super) fn is_exit(before: &Replay, visitor: VisitorId) -> bool {
    before.calls(visitor).last().is_some_and(|call| call.call == Call::Exit)
}
