//! Symbols of the process and of shared libraries, as LLVM's controller asks for them.
//!
//! You give names; you get addresses. Handles are numbers that are looked up. LLVM's own executor is a C++ program, whose libraries C++ objects and LLVM's
//! runtime count on: what the process does not have is looked for there, and they are not loaded before somebody asks.

use super::messages::{Found, Wanted};
use super::process;
use crate::native::NativeLibrary;
use crate::session::Session;
use crate::sync::Mutex;

/// Handle of the process itself.
const PROCESS: u64 = 1;
/// Handle of the first library that is opened.
const FIRST: u64 = 2;
/// `JITSymbolFlags::Exported`, all that LLVM's own executor says of a symbol.
const EXPORTED: u8 = 0x10;

/// Libraries that a controller has opened.
#[derive(Debug, Default)]
pub(super) struct Libraries {
    opened: Mutex<Vec<NativeLibrary>>,
    /// The libraries of a C++ program have been loaded, or tried.
    completed: Mutex<bool>,
}

impl Libraries {
    /// Opens the library at `path`; an empty one is the process.
    pub(super) fn open(&self, session: &Session, path: &str) -> Result<u64, String> {
        if path.is_empty() {
            return Ok(PROCESS);
        }
        let library = session.native().open(path).map_err(|error| error.to_string())?;
        let mut opened = self.opened.lock();
        let index = opened.iter().position(|known| *known == library).unwrap_or_else(|| {
            opened.push(library);
            opened.len() - 1
        });
        Ok(FIRST + index as u64)
    }

    /// Looks names up in an opened library.
    pub(super) fn lookup(&self, session: &Session, handle: u64, wanted: &[Wanted<'_>]) -> Result<Vec<Found>, String> {
        let names: Vec<&str> = wanted.iter().map(|wanted| wanted.name).collect();
        let mut addresses: Vec<Option<u64>> = match handle {
            PROCESS => names.iter().map(|name| process::own_symbol(name)).collect(),
            _ => vec![None; names.len()],
        };
        let library = match handle {
            PROCESS => None,
            other => {
                let index = other.checked_sub(FIRST).and_then(|index| usize::try_from(index).ok());
                let library = index.and_then(|index| self.opened.lock().get(index).copied());
                Some(library.ok_or_else(|| format!("no library was opened under the handle {other:#x}"))?)
            }
        };
        let ask = |addresses: &mut Vec<Option<u64>>| {
            let missing: Vec<usize> = (0..names.len()).filter(|&index| addresses[index].is_none()).collect();
            let asked: Vec<&str> = missing.iter().map(|&index| names[index]).collect();
            let found = match library {
                Some(library) => session.native().lookup(library, &asked),
                None => session.native().lookup_process(&asked),
            };
            for (index, symbol) in missing.into_iter().zip(found) {
                addresses[index] = symbol.map(|symbol| symbol.address);
            }
            addresses.contains(&None)
        };
        if ask(&mut addresses) && library.is_none() && self.complete(session) {
            ask(&mut addresses);
        }
        let answer = |(wanted, address): (&Wanted<'_>, Option<u64>)| match address {
            Some(address) => Ok(Found { address, flags: EXPORTED, target_flags: 0 }),
            None if wanted.required => Err(format!("Missing definition for {}", wanted.name)),
            None => Ok(Found { address: 0, flags: 0, target_flags: 0 }),
        };
        wanted.iter().zip(addresses).map(answer).collect()
    }

    /// Loads what a C++ program has, once; whether that has just happened.
    fn complete(&self, session: &Session) -> bool {
        let mut completed = self.completed.lock();
        if std::mem::replace(&mut *completed, true) {
            return false;
        }
        process::become_a_cpp_program(session)
    }
}
