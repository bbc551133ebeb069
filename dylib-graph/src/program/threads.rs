//! The threads of a program, interleaved on one: each is a stack of what it is inside of.
//!
//! You give a loader and a turn; you get one step of one thread, noted in the trace. Not for deciding anything about opens and closes: this does what
//! an executor does between two questions to its loader.

use super::world::{Handler, World};
use super::{Act, Program};
use crate::error::LoadError;
use crate::graph::DylibId;
use crate::loader::{Close, CloseStep, Loader, Open, Outcome, Status, Step, VisitorId};
use crate::trace::{Call, Event, Mode};

/// What all threads share.
pub(super) struct Machine<'a> {
    pub(super) loader: Loader,
    pub(super) world: World<'a>,
    /// Runs that were done and not yet undone, and when.
    runs: Vec<(DylibId, u64)>,
    /// Threads that were started and have not had a turn.
    pub(super) started: Vec<Thread<'a>>,
    /// How many threads there are.
    pub(super) threads: usize,
    /// Who ends the program.
    pub(super) exiting: Option<VisitorId>,
}

/// A thread.
pub(super) struct Thread<'a> {
    visitor: VisitorId,
    frames: Vec<Frame<'a>>,
    /// Threads that it has started and not joined.
    started: Vec<usize>,
    joining: Option<usize>,
}

/// What a thread was told to do.
#[derive(Clone, Copy)]
struct Order {
    call: Call,
    dylib: DylibId,
    mode: Mode,
    /// How many runs an open may have before it is cut.
    limit: usize,
}

enum Frame<'a> {
    Acts {
        acts: &'a [Act],
        next: usize,
        /// How many dylibs' code the thread was inside of before.
        depth: usize,
    },
    /// An open that has not begun, since it must wait for an unload.
    Begin {
        order: Order,
    },
    Open {
        order: Order,
        open: Open,
        running: Option<DylibId>,
        waiting: Option<DylibId>,
    },
    /// A handler runs above it.
    Handler {
        handler: Handler<'a>,
    },
    Close {
        order: Order,
        close: Close,
        finalizing: Option<DylibId>,
    },
}

impl<'a> Machine<'a> {
    pub(super) fn new(program: &'a Program) -> Self {
        let mut loader = Loader::new();
        let ids: Vec<_> = program.links.iter().map(|_| loader.add()).collect();
        for (id, links) in ids.into_iter().zip(&program.links) {
            loader.set_link_order(id, links).expect("the program has these dylibs");
        }
        let world = World::new(&program.links);
        let mut machine = Self { loader, world, runs: vec![], started: vec![], threads: 0, exiting: None };
        for acts in &program.threads {
            machine.start(acts);
        }
        machine
    }

    fn start(&mut self, acts: &'a [Act]) -> usize {
        let number = self.threads;
        self.threads += 1;
        let frames = vec![Frame::Acts { acts, next: 0, depth: 0 }];
        self.started.push(Thread { visitor: VisitorId(number as u64), frames, started: vec![], joining: None });
        number
    }

    /// When the latest run of `dylibs` was done that is not undone.
    fn latest_run(&self, dylibs: &[DylibId]) -> u64 {
        self.runs.iter().filter(|(dylib, _)| dylibs.contains(dylib)).map(|&(_, when)| when).max().unwrap_or(0)
    }
}

impl<'a> Thread<'a> {
    pub(super) fn is_finished(&self, machine: &Machine<'_>) -> bool {
        self.frames.is_empty() && !machine.world.owns_objects(self.visitor)
    }

    /// One step. Says whether anything came of it. `finished` says which threads are.
    pub(super) fn advance(&mut self, program: &'a Program, machine: &mut Machine<'a>, finished: &[bool]) -> bool {
        let visitor = self.visitor;
        if machine.world.ended || machine.exiting.is_some_and(|exiting| exiting != visitor) {
            return false;
        }
        let Machine { loader, world, .. } = machine;
        let goes = |dylib| matches!(loader.status(dylib), Status::Unloading(by) if by != visitor);
        if world.destroy(visitor, goes) {
            return true;
        }
        let Some(frame) = self.frames.pop() else { return world.destroy(visitor, |_| true) };
        match frame {
            Frame::Acts { acts, next, depth } => self.advance_acts(acts, next, depth, machine, finished),
            Frame::Begin { order } => self.begin(order, true, machine),
            Frame::Open { .. } => self.advance_open(frame, program, machine),
            Frame::Handler { handler: Handler { dylib, number, .. } } => {
                machine.world.note(visitor, Event::HandlerEnd { dylib, handler: number });
                true
            }
            Frame::Close { order, close, finalizing } => self.advance_close(order, close, finalizing, program, machine),
        }
    }

    fn advance_acts(
        &mut self,
        acts: &'a [Act],
        next: usize,
        depth: usize,
        machine: &mut Machine<'a>,
        finished: &[bool],
    ) -> bool {
        let visitor = self.visitor;
        if let Some(other) = self.joining {
            self.frames.push(Frame::Acts { acts, next, depth });
            // A thread that was started just now is not listed yet.
            if finished.get(other) != Some(&true) {
                return false;
            }
            self.joining = None;
            machine.world.note(visitor, Event::Joined { thread: VisitorId(other as u64) });
            return true;
        }
        let Some(act) = acts.get(next) else {
            machine.world.leave_to(visitor, depth);
            return true;
        };
        self.frames.push(Frame::Acts { acts, next: next + 1, depth });
        self.act(act, machine);
        true
    }

    fn advance_open(&mut self, frame: Frame<'a>, program: &'a Program, machine: &mut Machine<'a>) -> bool {
        let Frame::Open { mut order, mut open, running, mut waiting } = frame else { return false };
        let visitor = self.visitor;
        let completed = running.is_some();
        if let Some(dylib) = running {
            let ok = !machine.world.is_broken(dylib);
            let threw = Outcome::Threw(format!("the initializer of {dylib}"));
            machine.loader.completed(&mut open, if ok { Outcome::Completed } else { threw });
            machine.world.note(visitor, Event::InitEnd { dylib, ok });
            let when = machine.world.tick();
            machine.runs.push((dylib, when));
        }
        let step = if order.limit == 0 { Ok(Step::Ready) } else { machine.loader.step(&mut open) };
        let waits_for = if let Ok(Step::Wait(dylib)) = step { Some(dylib) } else { None };
        if waiting != waits_for {
            if waiting.is_some() {
                machine.world.note(visitor, Event::Waited);
            }
            if let Some(dylib) = waits_for {
                machine.world.note(visitor, Event::Wait { root: open.root(), dylib });
            }
            waiting = waits_for;
        }
        match step {
            Ok(Step::Run(next)) => {
                order.limit -= 1;
                machine.world.init(visitor, next.dylib, next.batches());
                self.frames.push(Frame::Open { order, open, running: Some(next.dylib), waiting });
                self.push_acts(&program.initializers[next.dylib.index()], machine);
                true
            }
            Ok(Step::Wait(_)) => {
                self.frames.push(Frame::Open { order, open, running: None, waiting });
                completed
            }
            Ok(Step::Ready) => self.end_open(order, open, None, machine),
            Err(error) => self.end_open(order, open, Some(error), machine),
        }
    }

    fn advance_close(
        &mut self,
        order: Order,
        mut close: Close,
        finalizing: Option<DylibId>,
        program: &'a Program,
        machine: &mut Machine<'a>,
    ) -> bool {
        let visitor = self.visitor;
        let dylibs = close.dylibs().to_vec();
        if let Some(dylib) = finalizing {
            machine.world.note(visitor, Event::FiniEnd { dylib });
        }
        machine.world.destroy(visitor, |dylib| dylibs.contains(&dylib));
        let latest = machine.latest_run(&dylibs);
        if let Some(handler) = machine.world.take_handler(&dylibs, latest) {
            machine.world.note(visitor, Event::Handler { dylib: handler.dylib, handler: handler.number });
            self.frames.push(Frame::Close { order, close, finalizing: None });
            self.frames.push(Frame::Handler { handler });
            self.push_acts(handler.acts, machine);
            return true;
        }
        if latest == 0 && order.call != Call::Exit && machine.world.has_objects(&dylibs) {
            // Their threads destroy them, and the memory stays until then.
            self.frames.push(Frame::Close { order, close, finalizing: None });
            return finalizing.is_some();
        }
        match machine.loader.close_step(&mut close) {
            CloseStep::Finalize(done) | CloseStep::Discard(done) => {
                if let Some(last) = machine.runs.iter().rposition(|(dylib, _)| *dylib == done.dylib) {
                    machine.runs.remove(last);
                }
                machine.world.note(visitor, Event::Fini { dylib: done.dylib });
                self.frames.push(Frame::Close { order, close, finalizing: Some(done.dylib) });
                self.push_acts(&program.finalizers[done.dylib.index()], machine);
            }
            CloseStep::Release(dylibs) => {
                machine.world.release(visitor, dylibs);
                self.frames.push(Frame::Close { order, close, finalizing: None });
            }
            CloseStep::Done => {
                machine.world.end(visitor, order.call, order.dylib, order.mode, Ok(()));
                if order.call == Call::Exit {
                    machine.world.ended = true;
                    self.frames.clear();
                }
            }
        }
        true
    }

    fn push_acts(&mut self, acts: &'a [Act], machine: &Machine<'a>) {
        self.frames.push(Frame::Acts { acts, next: 0, depth: machine.world.depth(self.visitor) });
    }

    fn act(&mut self, act: &'a Act, machine: &mut Machine<'a>) {
        let visitor = self.visitor;
        let Machine { loader, world, .. } = machine;
        if world.act(visitor, act, |dylib| loader.status(dylib) == Status::Ready) {
            return;
        }
        let order = |call, dylib| Order { call, dylib, mode: Mode::default(), limit: usize::MAX };
        let order = match *act {
            Act::Link(dylib, ref links) => {
                loader.set_link_order(dylib, links).expect("the program has these dylibs");
                return world.link(visitor, dylib, links);
            }
            Act::Code(dylib) => {
                let batch = loader.add_code(dylib).expect("the program has this dylib");
                return world.code(visitor, dylib, batch, &[]);
            }
            Act::Arrays(dylib, ref arrays) => {
                let batch = loader.add_code(dylib).expect("the program has this dylib");
                return world.code(visitor, dylib, batch, arrays);
            }
            Act::Count(dylib) => {
                let count = loader.count(dylib);
                return world.note(visitor, Event::Count { dylib, count });
            }
            Act::Start(ref acts) => {
                let number = machine.start(acts);
                self.started.push(number);
                return machine.world.note(visitor, Event::Start { thread: VisitorId(number as u64) });
            }
            Act::Join(other) => return self.join(other, machine),
            Act::JoinStarted => {
                if let Some(other) = self.started.pop() {
                    self.join(other, machine);
                }
                return;
            }
            Act::OpenWith(dylib, mode) => {
                let dylib = if mode.null { world.program() } else { Some(dylib) };
                let Some(dylib) = dylib else { return };
                Order { mode, ..order(Call::Open, dylib) }
            }
            Act::Cut(dylib, limit) => Order { limit, ..order(Call::Cut, dylib) },
            Act::Open(dylib) => order(Call::Open, dylib),
            Act::Update(dylib) => order(Call::Update, dylib),
            Act::Close(dylib) => order(Call::Close, dylib),
            Act::Unload(dylib) => order(Call::Unload, dylib),
            Act::Exit(dylib) => order(Call::Exit, dylib),
            _ => return,
        };
        self.begin(order, false, machine);
    }

    fn join(&mut self, other: usize, machine: &mut Machine<'a>) {
        if other < machine.threads {
            self.joining = Some(other);
            machine.world.note(self.visitor, Event::Join { thread: VisitorId(other as u64) });
        }
    }

    /// Begins a call; `waited` says that it has been waiting for an unload. Says whether anything came of it.
    fn begin(&mut self, order: Order, waited: bool, machine: &mut Machine<'a>) -> bool {
        let visitor = self.visitor;
        let Order { call, dylib, mode, .. } = order;
        let Machine { loader, world, .. } = machine;
        let initializes = matches!(call, Call::Open | Call::Cut | Call::Update);
        // The short way has to come to the same as the long one.
        if call == Call::Open && mode == Mode::default() && loader.reopen(dylib, visitor) {
            world.begin(visitor, call, dylib, mode);
            world.end(visitor, call, dylib, mode, Ok(()));
            return true;
        }
        // What the loader will refuse at once is not linked first.
        let status = |each: &DylibId| loader.status(*each);
        let reached = loader.graph().search_order(dylib).expect("the program has this dylib");
        let usable = !reached.iter().any(|each| matches!(status(each), Status::Unloading(_) | Status::Poisoned));
        let links = initializes && usable && (call != Call::Update || loader.is_open(dylib, visitor));
        if links {
            let is_loaded = !matches!(status(&dylib), Status::Unloaded);
            if waited {
                world.note(visitor, Event::Waited);
            }
            world.begin(visitor, call, dylib, mode);
            if let Err(why) = world.prepare(visitor, dylib, mode, is_loaded) {
                loader.stop_waiting(visitor);
                world.end(visitor, call, dylib, mode, Err(why));
                return true;
            }
        }
        let changes = loader.changes();
        let begun = match call {
            Call::Open | Call::Cut => loader.begin_open(dylib, visitor).map(Ok),
            Call::Update => loader.begin_update(dylib, visitor).map(Ok),
            Call::Close => loader.begin_close(dylib, visitor).map(Err),
            Call::Unload | Call::Deferred => loader.begin_unload(dylib, visitor).map(Err),
            Call::Exit => Ok(Err(loader.begin_shutdown(visitor))),
        };
        if let Err(LoadError::Unloading { dylib: going, .. }) = begun {
            if !waited {
                world.note(visitor, Event::Wait { root: dylib, dylib: going });
            }
            self.frames.push(Frame::Begin { order });
            return loader.changes() != changes;
        }
        if !links {
            if waited {
                world.note(visitor, Event::Waited);
            }
            world.begin(visitor, call, dylib, mode);
        }
        if call == Call::Exit {
            machine.exiting = Some(visitor);
        }
        match begun {
            Ok(Ok(open)) => self.frames.push(Frame::Open { order, open, running: None, waiting: None }),
            Ok(Err(close)) => self.close(order, close, machine),
            Err(error) => world.end(visitor, call, dylib, mode, Err(error.to_string())),
        }
        true
    }

    fn end_open(&mut self, order: Order, open: Open, error: Option<LoadError>, machine: &mut Machine<'a>) -> bool {
        let Order { call, dylib, mode, .. } = order;
        let Machine { loader, world, .. } = machine;
        let (result, close) = if call == Call::Cut {
            let why = error.map_or("cut".to_owned(), |error| error.to_string());
            (Err(why), loader.abandon_open(open))
        } else {
            if error.is_none() && mode.nodelete {
                loader.pin(dylib).expect("an open in progress keeps its dylibs loaded");
            }
            let finished = loader.finish_open(open);
            (finished.result.map(drop).map_err(|error| error.to_string()), finished.close)
        };
        world.end(self.visitor, call, dylib, mode, result);
        if let Some(close) = close {
            let order = Order { call: Call::Deferred, mode: Mode::default(), ..order };
            world.begin(self.visitor, order.call, dylib, order.mode);
            self.close(order, close, machine);
        }
        true
    }

    fn close(&mut self, order: Order, close: Close, machine: &mut Machine<'a>) {
        if !close.dylibs().is_empty() {
            let mut dylibs = close.dylibs().to_vec();
            dylibs.sort_unstable();
            machine.world.note(self.visitor, Event::Unload { dylibs });
        }
        self.frames.push(Frame::Close { order, close, finalizing: None });
    }
}
