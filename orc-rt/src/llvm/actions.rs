//! Actions that belong to memory: run in order when it becomes final, undone in reverse when it goes.

use super::Services;
use super::messages::{Action, ActionPair};
use dispatch::packed::{self, Status};

/// An action that is kept until its memory goes.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    function: u64,
    arguments: Box<[u8]>,
}

/// Runs the first halves in order and returns the second ones. If one fails, those before it are undone, the latest first.
pub(super) fn finalize(services: &Services, pairs: &[ActionPair<'_>]) -> Result<Vec<Kept>, String> {
    let mut undo = Vec::new();
    for (index, pair) in pairs.iter().enumerate() {
        if let Err(error) = run(services, pair.finalize.function, pair.finalize.arguments) {
            let error = format!("finalize action {} of {}: {error}", index + 1, pairs.len());
            let Err(more) = dealloc(services, undo) else { return Err(error) };
            return Err(format!("{error}; undoing those before it: {more}"));
        }
        if pair.dealloc.function != 0 {
            undo.push(keep(&pair.dealloc));
        }
    }
    Ok(undo)
}

/// Runs the second halves, the last one first. One that fails does not keep the others from running.
pub(super) fn dealloc(services: &Services, actions: Vec<Kept>) -> Result<(), String> {
    let mut failures = Vec::new();
    for action in actions.into_iter().rev() {
        failures.extend(run(services, action.function, &action.arguments).err());
    }
    if failures.is_empty() { Ok(()) } else { Err(failures.join("; ")) }
}

fn keep(action: &Action<'_>) -> Kept {
    Kept { function: action.function, arguments: action.arguments.into() }
}

fn run(services: &Services, function: u64, arguments: &[u8]) -> Result<(), String> {
    if function == 0 {
        return Ok(());
    }
    let reply = services.invoke(function, arguments).map_err(|error| error.to_string())?;
    let bytes = reply.bytes().map_err(str::to_owned)?;
    match packed::from_bytes(bytes) {
        Ok(Status(result)) => result,
        Err(error) => Err(format!("the answer of the wrapper function at {function:#x} cannot be read: {error}")),
    }
}
