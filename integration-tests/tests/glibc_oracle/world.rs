//! What both loaders must have in common at one moment: who is initialized, what is open, what we are inside of.
//!
//! You give events, the same ones on both sides so far; you get answers about the next ones. Not a loader: it never says what comes next,
//! only whether the rules leave a choice.

use crate::event::Seen;
use crate::program::{LIBRARIES, Mode};
use dylib_graph::DylibId;

/// Libraries as bits, by index.
pub(crate) type Set = u32;

#[derive(Clone, Debug)]
pub(crate) struct World {
    /// What each library reaches, itself included.
    reach: Vec<Set>,
    pub(crate) started: Set,
    pub(crate) ready: Set,
    /// The same, in the order in which they completed.
    completed: Vec<DylibId>,
    /// Opens that succeeded less closes.
    pub(crate) opens: [u32; LIBRARIES],
    /// Opened with `NODELETE`.
    pub(crate) stays: Set,
    /// Opened by themselves since they were loaded.
    rooted: Set,
    /// Loaded, and not among these, when something else was unloaded.
    pub(crate) narrowed: Set,
    pub(crate) frames: Vec<Frame>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Frame {
    /// `todo`: what is to be initialized. `given_back`: a close inside has taken this very open.
    Open {
        dylib: DylibId,
        mode: Mode,
        todo: Set,
        given_back: bool,
    },
    /// `dead`: what nobody holds since.
    Close {
        dylib: DylibId,
        dead: Set,
    },
    Find {
        dylib: DylibId,
    },
    Init(DylibId),
    Fini(DylibId),
    Handler,
}

pub(crate) fn bit(dylib: DylibId) -> Set {
    1 << dylib.index()
}

impl World {
    pub(crate) fn new(links: &[Vec<DylibId>]) -> Self {
        let mut reach: Vec<Set> = (0..links.len()).map(|at| 1 << at).collect();
        // As many rounds as a path can be long.
        for _ in 0..links.len() {
            for (at, links) in links.iter().enumerate() {
                reach[at] |= links.iter().fold(0, |all, link| all | reach[link.index()]);
            }
        }
        Self {
            reach,
            started: 0,
            ready: 0,
            completed: Vec::new(),
            opens: [0; LIBRARIES],
            stays: 0,
            rooted: 0,
            narrowed: 0,
            frames: Vec::new(),
        }
    }

    /// After these events.
    pub(crate) fn after(&self, events: &[(Seen, Set)]) -> Self {
        let mut world = self.clone();
        events.iter().for_each(|&(seen, _)| world.apply(seen));
        world
    }

    /// Which lists glibc has made for what is loaded depends on its own order.
    pub(crate) fn and_narrowed_as(self, glibc: &Self) -> Self {
        Self { rooted: glibc.rooted, narrowed: glibc.narrowed, ..self }
    }

    /// What is initialized, and what keeps it.
    pub(crate) fn counts(&self) -> ([u32; LIBRARIES], Set, Set) {
        (self.opens, self.stays, self.ready)
    }

    pub(crate) fn apply(&mut self, seen: Seen) {
        match seen {
            Seen::Open { dylib, mode } => {
                let todo = self.reached(dylib) & !self.started;
                self.rooted |= bit(dylib);
                self.frames.push(Frame::Open { dylib, mode, todo, given_back: false });
            }
            Seen::Close { dylib, stale: true } => self.frames.push(Frame::Close { dylib, dead: 0 }),
            Seen::Close { dylib, stale: false } => {
                let opens = &mut self.opens[dylib.index()];
                if let Some(less) = opens.checked_sub(1) {
                    *opens = less;
                } else if let Some(Frame::Open { given_back, .. }) = self.frames.iter_mut().rfind(
                    |frame| matches!(frame, Frame::Open { dylib: each, given_back: false, .. } if *each == dylib),
                ) {
                    *given_back = true;
                }
                let dead = self.started & !self.held() & !self.dying();
                self.frames.push(Frame::Close { dylib, dead });
            }
            Seen::Find { dylib, .. } => self.frames.push(Frame::Find { dylib }),
            Seen::Init { dylib, .. } => {
                self.started |= bit(dylib);
                self.frames.push(Frame::Init(dylib));
            }
            Seen::Fini { dylib } => {
                self.unload(dylib);
                self.frames.push(Frame::Fini(dylib));
            }
            Seen::Handler { dylib, .. } => {
                self.unload(dylib);
                self.frames.push(Frame::Handler);
            }
            Seen::OpenEnd { dylib, ok } => {
                if let Some(Frame::Open { mode, given_back, .. }) = self.frames.pop()
                    && ok
                {
                    self.opens[dylib.index()] += u32::from(!given_back);
                    if mode == Mode::NoDelete {
                        self.stays |= bit(dylib);
                    }
                }
            }
            Seen::InitEnd { dylib } => {
                self.ready |= bit(dylib);
                self.completed.push(dylib);
                self.frames.pop();
            }
            Seen::FiniEnd { dylib } => {
                self.ready &= !bit(dylib);
                self.completed.retain(|each| *each != dylib);
                self.started &= !bit(dylib);
                self.frames.pop();
            }
            Seen::CloseEnd { .. } | Seen::FindEnd { .. } | Seen::HandlerEnd { .. } => {
                self.frames.pop();
            }
            Seen::Register { .. } | Seen::Top => {}
        }
    }

    /// A close that finalizes what it had not let go at first has looked again after a close inside it.
    fn unload(&mut self, dylib: DylibId) {
        let unheld = self.started & !self.held();
        if let Some(Frame::Close { dead, .. }) = self.frames.last_mut()
            && *dead & bit(dylib) == 0
        {
            *dead |= unheld;
        }
        self.narrowed |= self.started & !self.rooted & !unheld;
    }

    pub(crate) fn reached(&self, dylib: DylibId) -> Set {
        self.reach[dylib.index()]
    }

    pub(crate) fn reaches(&self, a: DylibId, b: DylibId) -> bool {
        self.reached(a) & bit(b) != 0
    }

    /// Whether rule 1 says that `b` comes before `a`.
    pub(crate) fn needs_first(&self, a: DylibId, b: DylibId) -> bool {
        self.reaches(a, b) && !self.reaches(b, a)
    }

    /// Whether `a` completed before what rule 1 puts before it: it was opened from inside of `b`'s initializer.
    pub(crate) fn overtook(&self, a: DylibId, b: DylibId) -> bool {
        let place = |dylib| self.completed.iter().position(|each| *each == dylib);
        self.needs_first(a, b) && place(a) < place(b)
    }

    /// Whether others reach `dylib` that it reaches.
    pub(crate) fn in_cycle(&self, dylib: DylibId) -> bool {
        (0..LIBRARIES)
            .any(|at| at != dylib.index() && self.reach[at] & bit(dylib) != 0 && self.reached(dylib) >> at & 1 != 0)
    }

    /// Whether rule 1 leaves one order for these.
    pub(crate) fn is_forced(&self, set: Set) -> bool {
        let members = || (0..LIBRARIES).filter(move |at| set >> at & 1 != 0);
        let before = |a: usize, b: usize| self.reach[a] >> b & 1 != 0 && self.reach[b] >> a & 1 == 0;
        members().all(|a| members().all(|b| a == b || before(a, b) || before(b, a)))
    }

    /// What is open, being opened, or to stay, and everything that these reach.
    pub(crate) fn held(&self) -> Set {
        let open = (0..LIBRARIES).filter(|&at| self.opens[at] > 0 || self.stays >> at & 1 != 0);
        let held = open.fold(0, |all, at| all | self.reach[at]);
        self.frames.iter().fold(held, |all, frame| match frame {
            Frame::Open { dylib, given_back: false, .. } => all | self.reached(*dylib),
            _ => all,
        })
    }

    /// What runs its initializer.
    pub(crate) fn running(&self) -> Set {
        self.frames.iter().fold(0, |all, frame| if let Frame::Init(dylib) = frame { all | bit(*dylib) } else { all })
    }

    /// What opens in progress reach, closed meanwhile or not.
    pub(crate) fn in_use(&self) -> Set {
        self.frames.iter().fold(0, |all, frame| match frame {
            Frame::Open { dylib, .. } => all | self.reached(*dylib),
            _ => all,
        })
    }

    /// What runs its finalizer.
    pub(crate) fn finalizing(&self) -> Set {
        self.frames.iter().fold(0, |all, frame| if let Frame::Fini(dylib) = frame { all | bit(*dylib) } else { all })
    }

    /// What is being unloaded, whether its finalizer has run or not.
    pub(crate) fn dying(&self) -> Set {
        self.frames.iter().fold(0, |all, frame| if let Frame::Close { dead, .. } = frame { all | dead } else { all })
    }

    /// Whether `dylib` waits, directly or not, for an initializer that is running.
    pub(crate) fn is_in_hand(&self, dylib: DylibId) -> bool {
        self.started & bit(dylib) == 0 && self.reached(dylib) & self.running() != 0
    }

    /// Whether `dylib` is needed for one of `todo` that waits for an initializer that is running.
    pub(crate) fn leads_to_in_hand(&self, dylib: DylibId, todo: Set) -> bool {
        (1..=LIBRARIES)
            .map(crate::program::dylib)
            .any(|each| todo & bit(each) != 0 && self.is_in_hand(each) && self.reaches(each, dylib))
    }

    /// Whether a finalizer or handler is running.
    pub(crate) fn is_finalizing(&self) -> bool {
        self.frames.iter().any(|frame| matches!(frame, Frame::Fini(_) | Frame::Handler))
    }
}
