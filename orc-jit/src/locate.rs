//! From addresses of linked code to the user's inputs: which dylib, which function, which object and line.
//!
//! **You give** addresses of an executor. **You get** frames that a crash report can name. The inputs are read anew, one after the other,
//! since nobody keeps them after a link: an input that was replaced meanwhile may have another function of that name, which is only
//! told when it has the same size. Ask before the session unloads what it linked, or begins again with another executor.

use crate::diagnose::{Access, CodePlace, CrashReport, Ending, Fault, Frame, Search};
use crate::dylib::JitDylib;
use crate::executor::Executor;
use crate::session::{Session, Shared};
use crate::source::{Item, Source};
use crate::unit::{UnitId, UnitKey};
use jitlink::object::archive::{Archive, Content, MemberId};
use orc_rt::service::down::{Ended, Fault as Noted};
use std::collections::BTreeSet;
use std::path::Path;

/// A function that covers an address, before anybody knows where it comes from.
struct Covering {
    unit: UnitKey,
    size: u64,
    frame: Frame,
}

/// Where a thread stood, then where it would have returned to.
pub(crate) fn addresses(fault: &Noted) -> Vec<u64> {
    let mut addresses = fault.frames.clone();
    if addresses.first() != Some(&fault.instruction) {
        addresses.insert(0, fault.instruction);
    }
    addresses
}

/// A fault as an executor has noted it, in the words of reports.
pub(crate) fn told(fault: Noted) -> Fault {
    Fault {
        instruction: Some(fault.instruction),
        stack_pointer: Some(fault.stack),
        access: match fault.access {
            1 => Some(Access::Read),
            2 => Some(Access::Write),
            3 => Some(Access::Execute),
            _ => None,
        },
        thread: (!fault.thread.is_empty()).then_some(fault.thread),
        ..Fault::new(fault.code, fault.address)
    }
}

impl<E: Executor> Session<E> {
    /// What is at each of these addresses; `None` for those outside of linked code. `addresses[0]` is where a thread stands, the
    /// others are where it will return to: they are told as such, and looked for one byte earlier, in the call.
    #[must_use]
    pub fn frames(&self, addresses: &[u64]) -> Vec<Option<Frame>> {
        self.shared.frames(addresses)
    }
}

impl<E: Executor> Shared<E> {
    /// What is told of an executor that has ended.
    pub(crate) fn crash_report(&self, ended: Ended) -> CrashReport {
        let Ended { code, signal, fault } = ended;
        let ending = signal.map_or_else(|| Ending::Exit(code.unwrap_or_default()), Ending::Signal);
        let mut report = CrashReport::new(ending);
        report.last_calls = self.executor.last_calls();
        let Some(fault) = fault else { return report };
        report.frames = self.frames(&addresses(&fault)).into_iter().flatten().collect();
        report.fault = Some(told(fault));
        report
    }

    pub(crate) fn frames(&self, addresses: &[u64]) -> Vec<Option<Frame>> {
        let back = |depth| u64::from(depth > 0);
        let mut found: Vec<Option<Covering>> = {
            let state = self.lock();
            let covering = |(depth, address): (usize, &u64)| {
                let inside = address.checked_sub(back(depth))?;
                let unit = state.unit_at(inside)?;
                let part = state.part(unit.dylib)?;
                let (function, place) = state.names_at(unit)?.covering(inside)?;
                let function = String::from_utf8_lossy(function).into_owned();
                let offset = address - place.address;
                let dylib = Some(part.name.clone());
                let frame = Frame { dylib, library: None, function, offset, places: Vec::new() };
                Some(Covering { unit, size: place.size, frame })
            };
            addresses.iter().enumerate().map(covering).collect()
        };
        // Files are read without the lock, and once for each unit.
        let units: BTreeSet<UnitKey> = found.iter().flatten().map(|one| one.unit).collect();
        for unit in units {
            let here = found.iter_mut().enumerate().filter_map(|(depth, one)| Some((depth, one.as_mut()?)));
            let mut here: Vec<(usize, &mut Covering)> = here.filter(|(_, one)| one.unit == unit).collect();
            let mut search = Search::default();
            for (depth, one) in &here {
                search.ask(&one.frame.function, one.frame.offset - back(*depth), Some(one.size));
            }
            self.look_into(unit, &mut search);
            for ((_, one), places) in here.iter_mut().zip(search.finish()) {
                one.frame.places = places;
            }
        }
        found.into_iter().map(|one| one.map(|one| one.frame)).collect()
    }
}

impl<E: Executor> JitDylib<E> {
    /// The places in what is linked of this dylib that are `offset` bytes into a function, as [`crate::diagnose::locate`] finds them.
    #[must_use]
    pub fn locate(&self, function: &str, offset: u64, size: Option<u64>) -> Vec<CodePlace> {
        let mut search = Search::default();
        search.ask(function, offset, size);
        let units: Vec<UnitId> = {
            let state = self.shared.lock();
            state.part(self.id()).into_iter().flat_map(|part| part.units.iter()).map(|(unit, _)| unit).collect()
        };
        for unit in std::iter::once(UnitId::OWN).chain(units) {
            self.shared.look_into(UnitKey { dylib: self.id(), unit }, &mut search);
        }
        search.finish().swap_remove(0)
    }
}

impl<E: Executor> Shared<E> {
    /// Shows everything that is linked of a unit to a search.
    fn look_into(&self, key: UnitKey, search: &mut Search) {
        let (items, linked, mut pulled) = {
            let state = self.lock();
            let Some(part) = state.part(key.dylib) else { return };
            match part.units.get(key.unit) {
                Some(unit) => (unit.items.clone(), unit.linked, Vec::new()),
                None if key.is_own() => {
                    (part.items.clone(), part.linked, part.pulled.iter().copied().collect::<Vec<_>>())
                }
                None => return,
            }
        };
        pulled.sort_unstable();
        // Objects come before the members of archives that they need, wherever the archives stand.
        for item in items.iter().take(linked) {
            if let Item::Object(source) = item
                && let Ok(bytes) = source.read()
            {
                search.object(&source.name(), &bytes);
            }
        }
        for (index, item) in items.iter().enumerate() {
            if let Item::Archive { source, .. } = item {
                let members = pulled.iter().filter(|(item, _)| *item == index).map(|(_, member)| *member);
                search_archive(search, source, members);
            }
        }
    }
}

/// Looks into the members that were linked. What has become unreadable since has nothing to be found.
fn search_archive(search: &mut Search, source: &Source, members: impl Iterator<Item = MemberId>) {
    let mut members = members.peekable();
    if members.peek().is_none() {
        return;
    }
    let Ok(bytes) = source.read() else { return };
    let Ok(archive) = Archive::parse(&bytes) else { return };
    let name = source.name();
    let folder = Path::new(&name).parent().unwrap_or(Path::new(""));
    for id in members {
        let Ok(member) = archive.member(id) else { continue };
        let member_name = format!("{name}({})", String::from_utf8_lossy(member.name));
        match member.content {
            Content::Bytes(object) => search.object(&member_name, object),
            Content::Thin(path) => {
                let file = Source::File(folder.join(String::from_utf8_lossy(path).as_ref()));
                if let Ok(file) = file.read()
                    && let Ok(object) = member.in_file(&file)
                {
                    search.object(&member_name, object);
                }
            }
        }
    }
}
