//! Where the process's libraries call a function of each other, the call can be led elsewhere: to a function of ours.
//!
//! You give the function's name and a new address; the words of global offset tables through which the loaded objects call it hold that address
//! afterwards ([`lead`]). A word that cannot be changed (its page is sealed, or the process may not change protections) is named in the answer,
//! and stays as it is. Not for calls that do not go through a slot: those inside of the library that defines the function.
//!
//! `unsafe` because words of shared libraries are changed.
#![allow(unsafe_code)]

use crate::memory::Prot;
use crate::sys::loaded::{self, Object};
use crate::sys::{self, Mapping};
use smallvec::SmallVec;
use std::ffi::{CStr, CString};
use std::io;
use std::ops::Range;

/// What became of the slots for one function.
#[derive(Debug, Default)]
pub(crate) struct Led {
    /// How many lead to the new address now.
    pub(crate) count: usize,
    /// Those that could not be changed.
    pub(crate) refused: Vec<Refused>,
}

/// A slot that leads where it led before.
#[derive(Debug)]
pub(crate) struct Refused {
    /// The object that has it: its path, empty for the program.
    pub(crate) object: CString,
    /// Why it was not changed.
    pub(crate) why: io::Error,
}

/// A function whose slots are to lead elsewhere.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lead {
    /// Its name.
    pub(crate) name: &'static CStr,
    /// Where slots lead that are changed, besides those that lead nowhere yet.
    pub(crate) from: u64,
    /// Where they lead afterwards.
    pub(crate) to: u64,
    /// The object with this address keeps its slots.
    pub(crate) except: Option<u64>,
}

/// Has the slots of `objects` for the functions lead where each of `leads` says; the answer has one for each. `maps` are the process's mappings. Each object is gone through
/// once, and a page with several slots is made writable once.
///
/// # Safety
/// Each `to` is a function that does for everybody what its `from` does, and stays.
pub(crate) unsafe fn lead(objects: &[Object], leads: &[Lead], maps: &[Mapping]) -> Vec<Led> {
    let mut all: Vec<Led> = leads.iter().map(|_| Led::default()).collect();
    let names: SmallVec<[&CStr; 5]> = leads.iter().map(|lead| lead.name).collect();
    for object in objects {
        let mut opened: Option<Opened> = None;
        for (number, slot) in object.function_slots(&names) {
            let Lead { name, from, to, except } = leads[number];
            if except.is_some_and(|at| object.contains(&(at..at.saturating_add(1)))) {
                continue;
            }
            let led = &mut all[number];
            // SAFETY: slots lie in readable segments of objects that are loaded.
            let leads_to = unsafe { loaded::load(slot.place) };
            // Not bound yet, it leads to code of its own object.
            let unbound = !slot.defined_here && object.contains(&(leads_to..leads_to.saturating_add(1)));
            if leads_to == to {
                led.count += 1;
            } else if leads_to == from || unbound {
                // SAFETY: the word is a slot for a function of this name, and the new function does what the old one does.
                match unsafe { change(&mut opened, slot.place, leads_to, to, maps) } {
                    Ok(()) => led.count += 1,
                    Err(why) => {
                        tracing::debug!(%why, object = ?object.name, function = ?name, "a slot cannot be changed");
                        led.refused.push(Refused { object: object.name.clone(), why });
                    }
                }
            }
        }
    }
    all
}

/// A page of slots that was read-only, and is again when this is dropped.
struct Opened {
    page: Range<u64>,
    prot: Prot,
}

impl Drop for Opened {
    fn drop(&mut self) {
        // SAFETY: that is what everybody has relied on before.
        if let Err(error) = unsafe { loaded::protect(self.page.clone(), self.prot) } {
            tracing::warn!(%error, address = self.page.start, "a page of a global offset table stays writable");
        }
    }
}

/// Changes one slot that leads to `from`; its page may be `opened` already, and is left so.
///
/// # Safety
/// It lies in a readable segment of a loaded object; whoever calls through it is as content with `to`.
unsafe fn change(opened: &mut Option<Opened>, place: u64, from: u64, to: u64, maps: &[Mapping]) -> io::Result<()> {
    let prot = prot_at(maps, place).ok_or_else(|| io::Error::other("its page is in no mapping"))?;
    let page = sys::page_size();
    let start = place & !(page - 1);
    let is_opened = opened.as_ref().is_some_and(|opened| opened.page.start == start);
    if !prot.contains(Prot::WRITE) && !is_opened {
        if prot.contains(Prot::EXEC) {
            return Err(io::Error::other("its page holds code"));
        }
        *opened = None;
        // SAFETY: the page is readable and not executable, and stays readable.
        unsafe { loaded::protect(start..start + page, prot | Prot::WRITE) }?;
        *opened = Some(Opened { page: start..start + page, prot });
    }
    // SAFETY: the caller's promise, on a page that is writable now.
    let done = unsafe { loaded::exchange(place, from, to) };
    if done { Ok(()) } else { Err(io::Error::other("somebody else changed it meanwhile")) }
}

/// What the page at `address` may do.
pub(crate) fn prot_at(maps: &[Mapping], address: u64) -> Option<Prot> {
    let after = maps.partition_point(|mapping| mapping.range.start <= address);
    maps[..after].last().filter(|mapping| address < mapping.range.end).map(|mapping| mapping.prot)
}
