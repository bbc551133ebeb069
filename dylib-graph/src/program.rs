//! Programs that open and close dylibs, and an executor that runs them without running any code.
//!
//! You give what threads, initializers and finalizers do; you get the [`Trace`] that a [`Loader`] makes of it. Not for real
//! dylibs: an initializer here is a list of [`Act`]s. The threads are interleaved as a schedule says, one step of one visitor
//! at a time, so a failing interleaving can be repeated and shrunk.

use crate::error::LoadError;
use crate::graph::DylibId;
use crate::loader::{Close, CloseStep, Loader, Open, Outcome, Step, VisitorId};
use crate::trace::{Call, Event, Trace};

/// One thing that a thread, an initializer or a finalizer does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Replace a link order.
    Link(DylibId, Vec<DylibId>),
    /// Add code, with initializers.
    Code(DylibId),
    /// Open. The outcome is noted, and otherwise ignored.
    Open(DylibId),
    /// Open, and give up after so many runs, even if that was all of them.
    Cut(DylibId, usize),
    /// Run what is new.
    Update(DylibId),
    /// Close.
    Close(DylibId),
    /// Unload what is poisoned or left over.
    Unload(DylibId),
    /// From now on the dylib's initializers throw at their end.
    Break(DylibId),
    /// From now on they do not.
    Mend(DylibId),
    /// Wait until this thread has done everything: only sensible in an initializer. Threads count from 0.
    Join(usize),
}

/// Dylibs `dylib-1` to `dylib-n`, and what everybody does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Program {
    /// The link order of each dylib; their number is the number of dylibs.
    pub links: Vec<Vec<DylibId>>,
    /// What the initializers of each dylib do, at each run.
    pub initializers: Vec<Vec<Act>>,
    /// What the finalizers of each dylib do, at each run that is undone.
    pub finalizers: Vec<Vec<Act>>,
    /// What each thread does.
    pub threads: Vec<Vec<Act>>,
}

/// All threads wait and nobody can go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deadlock {
    /// What happened before.
    pub trace: Trace,
    /// Who waits for what; a thread that joins another one is not among them.
    pub waits: Vec<crate::Waiting>,
}

impl Program {
    /// Runs the threads on a new loader, whichever `schedule` names next (modulo their number); when it is at its end, in turn.
    ///
    /// # Errors
    /// [`Deadlock`], which no program without [`Act::Join`] can reach (rule 13).
    ///
    /// # Panics
    /// When an act names a dylib that the program does not have.
    pub fn run(&self, schedule: &[u8]) -> Result<Run, Box<Deadlock>> {
        let mut run =
            Run { loader: Loader::new(), trace: Trace::new(&self.links), broken: vec![false; self.links.len()] };
        for _ in &self.links {
            run.loader.add();
        }
        let mut threads: Vec<Thread<'_>> = Vec::new();
        for (number, acts) in self.threads.iter().enumerate() {
            threads.push(Thread { visitor: VisitorId(number as u64), frames: vec![Frame::acts(acts)] });
        }
        for (at, links) in self.links.iter().enumerate() {
            run.loader.set_link_order(DylibId::at(at), links).expect("the program has these dylibs");
        }
        let mut turns = schedule.iter().map(|&turn| usize::from(turn));
        let mut idle = 0;
        let mut round = 0;
        while idle <= threads.len() && !threads.is_empty() {
            let turn = turns.next().unwrap_or_else(|| {
                idle += 1;
                round += 1;
                round - 1
            }) % threads.len();
            let finished: Vec<bool> = threads.iter().map(|thread| thread.frames.is_empty()).collect();
            if threads[turn].advance(self, &mut run, &finished) {
                idle = 0;
            }
        }
        if threads.iter().all(|thread| thread.frames.is_empty()) {
            Ok(run)
        } else {
            let waits = run.loader.waits().collect();
            Err(Box::new(Deadlock { trace: run.trace, waits }))
        }
    }
}

/// A program that has run.
#[derive(Clone, Debug)]
pub struct Run {
    /// The loader as the program left it.
    pub loader: Loader,
    /// What happened.
    pub trace: Trace,
    broken: Vec<bool>,
}

impl Run {
    fn note(&mut self, visitor: VisitorId, event: Event) {
        self.trace.events.push((visitor, event));
    }

    fn link(&mut self, visitor: VisitorId, dylib: DylibId, links: &[DylibId]) {
        self.loader.set_link_order(dylib, links).expect("the program has these dylibs");
        self.note(visitor, Event::Link { dylib, links: links.to_vec() });
    }
}

/// A thread as a stack of what it is inside of, so that many can be interleaved on one.
struct Thread<'a> {
    visitor: VisitorId,
    frames: Vec<Frame<'a>>,
}

enum Frame<'a> {
    Acts {
        acts: &'a [Act],
        next: usize,
    },
    /// An open that has not begun, since it must wait for an unload.
    Begin {
        call: Call,
        dylib: DylibId,
        limit: usize,
    },
    Open {
        call: Call,
        open: Open,
        running: Option<DylibId>,
        limit: usize,
    },
    /// Followed by the end of the call that led to it.
    Close {
        close: Close,
        finalizing: Option<DylibId>,
        end: Event,
    },
}

impl<'a> Frame<'a> {
    fn acts(acts: &'a [Act]) -> Self {
        Self::Acts { acts, next: 0 }
    }
}

impl<'a> Thread<'a> {
    /// One step. Says whether anything came of it.
    fn advance(&mut self, program: &'a Program, run: &mut Run, finished: &[bool]) -> bool {
        let visitor = self.visitor;
        let Some(mut frame) = self.frames.pop() else { return false };
        match &mut frame {
            Frame::Acts { acts, next } => {
                let Some(act) = acts.get(*next) else { return true };
                if let Act::Join(other) = act
                    && finished.get(*other) == Some(&false)
                {
                    self.frames.push(frame);
                    return false;
                }
                *next += 1;
                self.frames.push(frame);
                self.act(act, run);
            }
            &mut Frame::Begin { call, dylib, limit } => return self.begin(call, dylib, limit, run),
            Frame::Open { open, running, limit, .. } => {
                let completed = running.take();
                if let Some(dylib) = completed {
                    let ok = !run.broken[dylib.index()];
                    let threw = Outcome::Threw(format!("the initializer of {dylib}"));
                    run.loader.completed(open, if ok { Outcome::Completed } else { threw });
                    run.note(visitor, Event::InitEnd { dylib, ok });
                }
                if *limit == 0 {
                    self.end_open(frame, run);
                    return true;
                }
                match run.loader.step(open) {
                    Ok(Step::Run(next)) => {
                        *limit -= 1;
                        *running = Some(next.dylib);
                        run.note(visitor, Event::Init { dylib: next.dylib });
                        self.frames.push(frame);
                        self.frames.push(Frame::acts(&program.initializers[next.dylib.index()]));
                    }
                    Ok(Step::Wait(_)) => {
                        self.frames.push(frame);
                        return completed.is_some();
                    }
                    Ok(Step::Ready) | Err(_) => self.end_open(frame, run),
                }
            }
            Frame::Close { close, finalizing, end } => {
                if let Some(dylib) = finalizing.take() {
                    run.note(visitor, Event::FiniEnd { dylib });
                }
                match run.loader.close_step(close) {
                    CloseStep::Finalize(done) | CloseStep::Discard(done) => {
                        *finalizing = Some(done.dylib);
                        run.note(visitor, Event::Fini { dylib: done.dylib });
                        self.frames.push(frame);
                        self.frames.push(Frame::acts(&program.finalizers[done.dylib.index()]));
                    }
                    CloseStep::Release(mut dylibs) => {
                        dylibs.sort_unstable();
                        run.note(visitor, Event::Release { dylibs });
                        self.frames.push(frame);
                    }
                    CloseStep::Done => run.note(visitor, end.clone()),
                }
            }
        }
        true
    }

    fn act(&mut self, act: &Act, run: &mut Run) {
        let visitor = self.visitor;
        let (call, dylib, limit) = match *act {
            Act::Link(dylib, ref links) => return run.link(visitor, dylib, links),
            Act::Code(dylib) => {
                run.loader.add_code(dylib).expect("the program has this dylib");
                return run.note(visitor, Event::Code { dylib });
            }
            Act::Break(dylib) => return run.broken[dylib.index()] = true,
            Act::Mend(dylib) => return run.broken[dylib.index()] = false,
            Act::Join(_) => return,
            Act::Open(dylib) => (Call::Open, dylib, usize::MAX),
            Act::Cut(dylib, limit) => (Call::Cut, dylib, limit),
            Act::Update(dylib) => (Call::Update, dylib, usize::MAX),
            Act::Close(dylib) => (Call::Close, dylib, 0),
            Act::Unload(dylib) => (Call::Unload, dylib, 0),
        };
        self.begin(call, dylib, limit, run);
    }

    fn begin(&mut self, call: Call, dylib: DylibId, limit: usize, run: &mut Run) -> bool {
        let visitor = self.visitor;
        let changes = run.loader.changes();
        let begun = match call {
            Call::Open | Call::Cut => run.loader.begin_open(dylib, visitor).map(Ok),
            Call::Update => run.loader.begin_update(dylib, visitor).map(Ok),
            Call::Close => run.loader.begin_close(dylib, visitor).map(Err),
            Call::Unload | Call::Deferred => run.loader.begin_unload(dylib, visitor).map(Err),
        };
        if let Err(LoadError::Unloading { .. }) = begun {
            self.frames.push(Frame::Begin { call, dylib, limit });
            return run.loader.changes() != changes;
        }
        run.note(visitor, Event::Begin { call, dylib });
        match begun {
            Ok(Ok(open)) => self.frames.push(Frame::Open { call, open, running: None, limit }),
            Ok(Err(close)) => self.close(close, Event::End { call, dylib, ok: true }, run),
            Err(_) => run.note(visitor, Event::End { call, dylib, ok: false }),
        }
        true
    }

    fn end_open(&mut self, frame: Frame<'a>, run: &mut Run) {
        let Frame::Open { call, open, .. } = frame else { return };
        let dylib = open.root();
        let (ok, close) = if call == Call::Cut {
            (false, run.loader.abandon_open(open))
        } else {
            let finished = run.loader.finish_open(open);
            (finished.result.is_ok(), finished.close)
        };
        run.note(self.visitor, Event::End { call, dylib, ok });
        if let Some(close) = close {
            run.note(self.visitor, Event::Begin { call: Call::Deferred, dylib });
            self.close(close, Event::End { call: Call::Deferred, dylib, ok: true }, run);
        }
    }

    fn close(&mut self, close: Close, end: Event, run: &mut Run) {
        if !close.dylibs().is_empty() {
            let mut dylibs = close.dylibs().to_vec();
            dylibs.sort_unstable();
            run.note(self.visitor, Event::Unload { dylibs });
        }
        self.frames.push(Frame::Close { close, finalizing: None, end });
    }
}
