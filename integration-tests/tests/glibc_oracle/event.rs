//! What happened, as the interpreter notes it (`struct record`), and as the rules of `dylib_graph` read it.
//!
//! You give the bytes of a record; you get events, and a [`Trace`]. The interpreter sees calls, initializers, finalizers and handlers; what a
//! close unloads follows from these and from which libraries the loader still knows.

use crate::program::{GROUPS, LIBRARIES, Mode, dylib};
use crate::world::{Frame, World};
use dylib_graph::scope::Scope;
use dylib_graph::trace::{Call, Definition, Event, Kind, Trace};
use dylib_graph::{DylibId, VisitorId};
use std::fmt;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    Open {
        dylib: DylibId,
        mode: Mode,
    },
    OpenEnd {
        dylib: DylibId,
        ok: bool,
    },
    /// `stale`: the library has been unloaded since the handle was given out.
    Close {
        dylib: DylibId,
        stale: bool,
    },
    CloseEnd {
        dylib: DylibId,
        ok: bool,
    },
    Find {
        dylib: DylibId,
        group: u8,
    },
    FindEnd {
        dylib: DylibId,
        found: Option<DylibId>,
    },
    /// `pristine`: the data was as the compiler has left it.
    Init {
        dylib: DylibId,
        pristine: bool,
    },
    InitEnd {
        dylib: DylibId,
    },
    Fini {
        dylib: DylibId,
    },
    FiniEnd {
        dylib: DylibId,
    },
    Register {
        dylib: DylibId,
        number: u8,
    },
    Handler {
        dylib: DylibId,
        number: u8,
    },
    HandlerEnd {
        dylib: DylibId,
        number: u8,
    },
    /// An act of main has ended: no call is in progress.
    Top,
}

/// What a side has made of a program.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    /// With a bit for each library that the loader knew then (of those that have been initialized).
    pub(crate) events: Vec<(Seen, u32)>,
    pub(crate) end: End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Done,
    Exit(i32),
    Signal(i32),
}

/// Bytes of an event, and how many fit into a record.
pub(crate) const EVENT: usize = 8;
pub(crate) const CAPACITY: usize = 4096;
/// `RTLD_GLOBAL`, `RTLD_NOLOAD`, `RTLD_NODELETE`.
const MODES: [(i16, Mode); 4] = [(0, Mode::Local), (0x100, Mode::Global), (4, Mode::NoLoad), (0x1000, Mode::NoDelete)];
const PRISTINE: i16 = 41;

impl Record {
    /// Reads `struct event`s.
    pub(crate) fn read(bytes: &[u8], end: End) -> Result<Self, String> {
        let events = bytes.chunks_exact(EVENT).map(|bytes| event(bytes).ok_or_else(|| format!("no event: {bytes:?}")));
        Ok(Self { events: events.collect::<Result<_, _>>()?, end })
    }

    /// The events, indented by what they are inside of.
    pub(crate) fn lines(&self) -> impl Iterator<Item = String> + '_ {
        let mut depth = 0;
        let lines = self.events.iter().map(move |(seen, _)| {
            depth -= usize::from(seen.ends());
            let line = format!("{:1$}{seen}", "", 2 * depth);
            depth += usize::from(seen.begins());
            line
        });
        let mut before = String::new();
        // Acts that did nothing are not shown.
        let lines = lines.filter(move |line| *line != std::mem::replace(&mut before, line.clone()) || line != "--");
        lines.chain([format!("{:?}", self.end)])
    }
}

fn event(bytes: &[u8]) -> Option<(Seen, u32)> {
    let &[what, library, low, high, a, b, c, d] = bytes else { return None };
    let value = i16::from_le_bytes([low, high]);
    let library = usize::from(library);
    let known = |number: usize| (1..=LIBRARIES).contains(&number).then(|| dylib(number));
    let number = u8::try_from(value);
    let seen = match (what, known(library)) {
        (0, Some(dylib)) => Seen::Open { dylib, mode: MODES.iter().find(|(bits, _)| *bits == value)?.1 },
        (1, Some(dylib)) => Seen::OpenEnd { dylib, ok: value != 0 },
        (2, Some(dylib)) => Seen::Close { dylib, stale: value != 0 },
        (3, Some(dylib)) => Seen::CloseEnd { dylib, ok: value != 0 },
        (4, Some(dylib)) => Seen::Find { dylib, group: number.ok()? },
        (5, Some(dylib)) => Seen::FindEnd { dylib, found: known(value as usize) },
        (6, Some(dylib)) => Seen::Init { dylib, pristine: value == PRISTINE },
        (7, Some(dylib)) => Seen::InitEnd { dylib },
        (8, Some(dylib)) => Seen::Fini { dylib },
        (9, Some(dylib)) => Seen::FiniEnd { dylib },
        (10, Some(dylib)) => Seen::Register { dylib, number: number.ok()? },
        (11, Some(dylib)) => Seen::Handler { dylib, number: number.ok()? },
        (12, Some(dylib)) => Seen::HandlerEnd { dylib, number: number.ok()? },
        (13, None) => Seen::Top,
        _ => return None,
    };
    Some((seen, u32::from_le_bytes([a, b, c, d])))
}

impl Seen {
    pub(crate) fn begins(&self) -> bool {
        use Seen::{Close, Find, Fini, Handler, Init, Open};
        matches!(self, Open { .. } | Close { .. } | Find { .. } | Init { .. } | Fini { .. } | Handler { .. })
    }

    pub(crate) fn ends(&self) -> bool {
        use Seen::{CloseEnd, FindEnd, FiniEnd, HandlerEnd, InitEnd, OpenEnd};
        matches!(
            self,
            OpenEnd { .. } | CloseEnd { .. } | FindEnd { .. } | InitEnd { .. } | FiniEnd { .. } | HandlerEnd { .. }
        )
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Open { dylib, mode } => write!(f, "open o{} {mode:?}", dylib.get()),
            Self::OpenEnd { dylib, ok } => write!(f, "open o{}: {}", dylib.get(), if ok { "handle" } else { "null" }),
            Self::Close { dylib, stale: false } => write!(f, "close o{}", dylib.get()),
            Self::Close { dylib, stale: true } => write!(f, "close o{} by a stale handle", dylib.get()),
            Self::CloseEnd { dylib, ok } => write!(f, "close o{}: {}", dylib.get(), if ok { "0" } else { "error" }),
            Self::Find { dylib, group } => write!(f, "find o{} group_{group}", dylib.get()),
            Self::FindEnd { dylib, found: Some(found) } => write!(f, "find o{}: in o{}", dylib.get(), found.get()),
            Self::FindEnd { dylib, found: None } => write!(f, "find o{}: null", dylib.get()),
            Self::Init { dylib, pristine: true } => write!(f, "initializer of o{}", dylib.get()),
            Self::Init { dylib, pristine: false } => write!(f, "initializer of o{}, on used data", dylib.get()),
            Self::InitEnd { dylib } => write!(f, "initializer of o{} ends", dylib.get()),
            Self::Fini { dylib } => write!(f, "finalizer of o{}", dylib.get()),
            Self::FiniEnd { dylib } => write!(f, "finalizer of o{} ends", dylib.get()),
            Self::Register { dylib, number } => write!(f, "o{} registers handler {number}", dylib.get()),
            Self::Handler { dylib, number } => write!(f, "handler {number} of o{}", dylib.get()),
            Self::HandlerEnd { dylib, number } => write!(f, "handler {number} of o{} ends", dylib.get()),
            Self::Top => write!(f, "--"),
        }
    }
}

/// The record as the rules read it: without opens that found nothing loaded and closes that count for nothing: of stale handles and of
/// what is to stay. A library that is to stay is one that has been opened once more. A record that breaks off gives a trace that breaks off. Also for each event of the trace the position of the
/// record's event that it was made of.
pub(crate) fn trace(record: &Record, links: &[Vec<DylibId>]) -> (Trace, Vec<usize>) {
    let mut places = Vec::new();
    let (mut handlers, mut running, mut wanted) = (Vec::new(), Vec::new(), 0);
    let mut world = World::new(links);
    let mut trace = Trace::new(links);
    for number in 1..=LIBRARIES {
        for group in (0..GROUPS).filter(|group| number >> group & 1 != 0) {
            let definition = Definition { symbol: format!("group_{group}"), kind: Kind::Strong, at: 0 };
            trace.events.push((VisitorId(0), Event::Define { dylib: dylib(number), definition }));
        }
    }
    let groups = groups(record);
    let mut calls: Vec<InCall> = Vec::new();
    let mut stays = [false; LIBRARIES];
    let visitor = VisitorId(0);
    for (at, &(seen, _)) in record.events.iter().enumerate() {
        places.resize(trace.events.len(), at.saturating_sub(1));
        let mut note = |event| trace.events.push((visitor, event));
        if let (Some(group), Some(call)) = (groups.iter().find(|group| group.events[0] == at), calls.last_mut()) {
            if let Some(dylibs) = call.unloading.take() {
                note(Event::Release { dylibs });
            } else if call.call == Call::Open {
                // What an open has kept goes after its end.
                note(Event::End { call: Call::Open, dylib: call.dylib, ok: true });
                call.call = Call::Deferred;
                note(Event::Begin { call: Call::Deferred, dylib: call.dylib });
            }
            call.unloading = Some(group.dylibs.clone());
            note(Event::Unload { dylibs: group.dylibs.clone() });
        }
        let given_back = matches!(world.frames.last(), Some(Frame::Open { given_back: true, .. }));
        world.apply(seen);
        match seen {
            Seen::Open { dylib, mode } => {
                calls.push(InCall { call: Call::Open, dylib, mode, stale: false, unloading: None });
                note(Event::Begin { call: Call::Open, dylib });
            }
            Seen::Close { dylib, stale } => {
                calls.push(InCall { call: Call::Close, dylib, mode: Mode::Local, stale, unloading: None });
                note(Event::Begin { call: Call::Close, dylib });
            }
            Seen::OpenEnd { dylib, ok } | Seen::CloseEnd { dylib, ok } => {
                let Some(ended) = calls.pop() else { continue };
                if let Some(dylibs) = ended.unloading {
                    note(Event::Release { dylibs });
                }
                let of_none = ended.stale || ended.call == Call::Close && stays[dylib.index()];
                if of_none || !ok && ended.mode == Mode::NoLoad {
                    let begun = trace.events.iter().rposition(|(_, event)| matches!(event, Event::Begin { .. }));
                    trace.events.truncate(begun.unwrap_or_default());
                    continue;
                }
                // An open that was given back before it ended has done what it was to do.
                let ok = ok || given_back || ended.call == Call::Deferred;
                note(Event::End { call: ended.call, dylib, ok });
                if ok && ended.mode == Mode::NoDelete && !std::mem::replace(&mut stays[dylib.index()], true) {
                    note(Event::Begin { call: Call::Open, dylib });
                    note(Event::End { call: Call::Open, dylib, ok: true });
                }
            }
            Seen::Init { dylib, pristine } => {
                note(Event::Init { dylib });
                note(Event::Touch { dylib, before: u64::from(!pristine) });
            }
            Seen::InitEnd { dylib } => note(Event::InitEnd { dylib, ok: true }),
            Seen::Fini { dylib } => note(Event::Fini { dylib }),
            Seen::FiniEnd { dylib } => note(Event::FiniEnd { dylib }),
            Seen::Register { dylib, number } => {
                let handler = at as u64;
                handlers.push((dylib, number, handler));
                note(Event::AtExit { dylib, handler });
            }
            // Handlers of one library that have one number are told apart by nothing but their order.
            Seen::Handler { dylib, number } => {
                let known = handlers.iter().rposition(|each| (each.0, each.1) == (dylib, number));
                let handler = known.map_or(u64::MAX, |known| handlers.remove(known).2);
                running.push(handler);
                note(Event::Handler { dylib, handler });
            }
            Seen::HandlerEnd { dylib, .. } => {
                note(Event::HandlerEnd { dylib, handler: running.pop().unwrap_or(u64::MAX) });
            }
            Seen::Find { group, .. } => wanted = group,
            Seen::FindEnd { dylib, found } => {
                let (scope, symbol) = (Scope::Handle(dylib), format!("group_{wanted}"));
                note(Event::Lookup { scope, asking: None, symbol, found });
            }
            Seen::Top => {}
        }
    }
    places.resize(trace.events.len(), record.events.len().saturating_sub(1));
    (trace, places)
}

struct InCall {
    call: Call,
    dylib: DylibId,
    mode: Mode,
    stale: bool,
    unloading: Option<Vec<DylibId>>,
}

/// What is unloaded together.
#[derive(Debug)]
pub(crate) struct Group {
    /// The positions of its finalizers and handlers.
    pub(crate) events: Vec<usize>,
    /// In ascending order.
    pub(crate) dylibs: Vec<DylibId>,
}

/// Finalizers that one call runs belong together until the first of them is no longer loaded.
pub(crate) fn groups(record: &Record) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    // What we are inside of, and the latest group of each call.
    let mut inside: Vec<Option<usize>> = Vec::new();
    for (at, &(seen, loaded)) in record.events.iter().enumerate() {
        if let (Seen::Fini { dylib } | Seen::Handler { dylib, .. }, Some(latest)) = (seen, inside.last_mut()) {
            let gone = |each: &DylibId| loaded & (1 << each.get()) == 0;
            let group = match *latest {
                Some(group) if !groups[group].dylibs.iter().any(gone) => group,
                _ => {
                    groups.push(Group { events: Vec::new(), dylibs: Vec::new() });
                    *latest.insert(groups.len() - 1)
                }
            };
            groups[group].events.push(at);
            let dylibs = &mut groups[group].dylibs;
            if let Err(place) = dylibs.binary_search(&dylib) {
                dylibs.insert(place, dylib);
            }
        }
        if seen.begins() {
            inside.push(None);
        } else if seen.ends() {
            inside.pop();
        }
    }
    groups
}
