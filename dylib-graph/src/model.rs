//! What the [`Loader`](crate::Loader) does, said as simply as possible: one thread, recursion, no regard for cost.
//!
//! You give a [`Program`]; you get the trace that the loader must make of its first thread. Not for use: every question is
//! answered by searching the whole graph again.

use crate::error::LoadError;
use crate::graph::DylibId;
use crate::init::InitSection;
use crate::loader::VisitorId;
use crate::program::world::World;
use crate::program::{Act, Program};
use crate::trace::{Call, Event, Links, Mode, Trace};

/// What `program`'s first thread makes happen, without starting or joining others.
#[must_use]
pub fn run(program: &Program) -> Trace {
    let links = Links(program.links.clone());
    let dylibs = links.0.iter().map(|_| Dylib::default()).collect();
    let world = World::new(&program.links);
    let mut model = Model { program, links, dylibs, active: vec![], done: vec![], world };
    model.all(program.threads.first().map_or(&[], |acts| acts));
    model.world.destroy(ME, |_| true);
    model.world.trace
}

/// The only thread.
const ME: VisitorId = VisitorId(0);

#[derive(Default)]
struct Dylib {
    count: u64,
    /// Stays until the program ends.
    pinned: bool,
    /// Batches of code: known, run.
    code: (u32, u32),
    /// Takes part in an open or is open.
    loaded: bool,
    ready: bool,
    running: bool,
    poisoned: bool,
    closing: bool,
    /// Stays until the next close or update, whoever holds it.
    leftover: bool,
}

struct Model<'a> {
    program: &'a Program,
    links: Links,
    dylibs: Vec<Dylib>,
    /// Operations in progress, outermost first.
    active: Vec<Active>,
    /// Whose runs are to be undone, in the order in which they ended, and when that was.
    done: Vec<(DylibId, u64)>,
    /// Everything around: memory, handlers, errors, names.
    world: World<'a>,
}

struct Active {
    reached: Vec<DylibId>,
    /// What it counts for when it succeeds.
    counts: Option<DylibId>,
}

impl<'a> Model<'a> {
    fn all(&mut self, acts: &'a [Act]) {
        let depth = self.world.depth(ME);
        acts.iter().for_each(|act| self.act(act));
        self.world.leave_to(ME, depth);
    }

    fn act(&mut self, act: &'a Act) {
        let Self { world, dylibs, .. } = self;
        let can_be_entered = |dylib: DylibId| {
            let Dylib { ready, running, poisoned, closing, .. } = dylibs[dylib.index()];
            ready && !running && !poisoned && !closing
        };
        if world.ended || world.act(ME, act, can_be_entered) {
            return;
        }
        let plain = Mode::default();
        match *act {
            Act::Link(dylib, ref links) => {
                let old = std::mem::replace(&mut self.links.0[dylib.index()], links.clone());
                if old != *links && self.at(dylib).loaded {
                    old.into_iter().for_each(|link| self.at(link).leftover = true);
                }
                self.world.link(ME, dylib, links);
            }
            Act::Code(dylib) => self.code(dylib, &[]),
            Act::Arrays(dylib, ref arrays) => self.code(dylib, arrays),
            Act::Count(dylib) => {
                let count = self.get(dylib).count;
                self.world.note(ME, Event::Count { dylib, count });
            }
            Act::Open(dylib) => self.initialize(Call::Open, dylib, plain, usize::MAX),
            Act::OpenWith(dylib, mode) => {
                let dylib = if mode.null { self.world.program() } else { Some(dylib) };
                dylib.into_iter().for_each(|dylib| self.initialize(Call::Open, dylib, mode, usize::MAX));
            }
            Act::Cut(dylib, limit) => self.initialize(Call::Cut, dylib, plain, limit),
            Act::Update(dylib) => self.initialize(Call::Update, dylib, plain, usize::MAX),
            Act::Close(dylib) => self.close(dylib),
            Act::Unload(dylib) => self.insist(dylib),
            Act::Exit(dylib) => self.exit(dylib),
            _ => {}
        }
    }

    fn code(&mut self, dylib: DylibId, arrays: &[(InitSection, u32)]) {
        self.world.code(ME, dylib, self.get(dylib).code.0, arrays);
        self.at(dylib).code.0 += 1;
    }

    fn initialize(&mut self, call: Call, dylib: DylibId, mode: Mode, limit: usize) {
        self.world.begin(ME, call, dylib, mode);
        let result = self.open(call, dylib, mode, limit);
        // An update also lets go what was left over.
        let forget = if result.is_ok() && call == Call::Update { self.ids().collect() } else { vec![] };
        let dead = self.unheld(&forget);
        self.world.end(ME, call, dylib, mode, result);
        if !dead.is_empty() {
            self.world.begin(ME, Call::Deferred, dylib, Mode::default());
            self.unload(&dead);
            self.world.end(ME, Call::Deferred, dylib, Mode::default(), Ok(()));
        }
    }

    fn open(&mut self, call: Call, root: DylibId, mode: Mode, mut limit: usize) -> Result<(), String> {
        let order = self.links.init_order(root);
        if call == Call::Update && !self.is_open(root) {
            return Err(LoadError::NotOpen { dylib: root }.to_string());
        }
        for &dylib in &order {
            if self.get(dylib).closing {
                return Err(LoadError::UnloadCycle { dylib }.to_string());
            } else if self.get(dylib).poisoned {
                return Err(poisoned(dylib));
            }
        }
        self.world.prepare(ME, root, mode, self.get(root).loaded)?;
        // Rule 7: what is in progress, and above the initializer that we are in, is not ours to run.
        let elsewhere = |dylib| {
            self.in_use(dylib) && self.ids().any(|each| self.get(each).running && self.links.reaches(dylib, each))
        };
        let mine = |dylib: &DylibId| !elsewhere(root) && !elsewhere(*dylib);
        let todo: Vec<_> = order.iter().copied().filter(mine).map(|dylib| (dylib, self.get(dylib).code.0)).collect();
        order.iter().for_each(|&dylib| self.at(dylib).loaded = true);
        let fresh: Vec<_> = order.iter().copied().filter(|&dylib| !self.get(dylib).ready).collect();
        self.active.push(Active { reached: order, counts: (call != Call::Update).then_some(root) });
        let mut result = self.run(&todo, &mut limit);
        if call == Call::Cut && (limit == 0 || result.is_ok()) {
            result = Err("cut".into());
        }
        let ended = self.active.pop();
        if result.is_err() {
            self.let_go(&fresh);
        } else {
            self.at(root).pinned |= mode.nodelete;
            if let Some(dylib) = ended.and_then(|ended| ended.counts) {
                self.at(dylib).count += 1;
            }
        }
        result
    }

    fn run(&mut self, todo: &[(DylibId, u32)], limit: &mut usize) -> Result<(), String> {
        for &(dylib, code) in todo {
            let Dylib { poisoned: unusable, ready, code: (_, ran), .. } = *self.get(dylib);
            if *limit == 0 {
                return Ok(());
            } else if unusable {
                return Err(poisoned(dylib));
            } else if ready && ran >= code {
                continue;
            }
            *limit -= 1;
            self.world.init(ME, dylib, ran..code);
            self.at(dylib).running = true;
            self.all(&self.program.initializers[dylib.index()]);
            self.at(dylib).running = false;
            let ok = !self.world.is_broken(dylib);
            self.world.note(ME, Event::InitEnd { dylib, ok });
            self.done.push((dylib, self.world.tick()));
            if !ok {
                self.at(dylib).poisoned = true;
                if !ready && !self.is_kept(dylib) {
                    self.release(dylib);
                }
                return Err(poisoned(dylib));
            }
            (self.at(dylib).ready, self.at(dylib).code.1) = (true, code);
        }
        Ok(())
    }

    fn close(&mut self, dylib: DylibId) {
        self.world.begin(ME, Call::Close, dylib, Mode::default());
        let mut result = Ok(());
        if self.take_back(dylib) {
            let dead = self.unheld(&self.ids().collect::<Vec<_>>());
            self.unload(&dead);
        } else {
            result = Err(LoadError::NotOpen { dylib }.to_string());
        }
        self.world.end(ME, Call::Close, dylib, Mode::default(), result);
    }

    fn insist(&mut self, dylib: DylibId) {
        self.world.begin(ME, Call::Unload, dylib, Mode::default());
        let Dylib { loaded, poisoned, closing, .. } = *self.get(dylib);
        let dead = self.left_over(dylib);
        let result = match (loaded || poisoned || closing, dead.is_empty()) {
            (false, _) => Err(LoadError::NotOpen { dylib }.to_string()),
            (true, true) => Err(LoadError::InUse { dylib }.to_string()),
            (true, false) => Ok(()),
        };
        self.unload(&dead);
        self.world.end(ME, Call::Unload, dylib, Mode::default(), result);
    }

    fn exit(&mut self, dylib: DylibId) {
        self.world.begin(ME, Call::Exit, dylib, Mode::default());
        self.active.clear();
        for dylib in &mut self.dylibs {
            (dylib.count, dylib.pinned, dylib.leftover, dylib.running) = (0, false, false, false);
        }
        let there = |each: &DylibId| self.get(*each).loaded || self.get(*each).poisoned || self.get(*each).closing;
        let all: Vec<_> = self.ids().filter(there).collect();
        self.unload(&all);
        self.world.end(ME, Call::Exit, dylib, Mode::default(), Ok(()));
        self.world.ended = true;
    }

    fn let_go(&mut self, fresh: &[DylibId]) {
        for &dylib in fresh {
            self.at(dylib).leftover = true;
            let Dylib { ready, poisoned, .. } = *self.get(dylib);
            if !ready && !poisoned && !self.is_kept(dylib) && !self.in_use(dylib) {
                self.release(dylib);
            }
        }
    }

    fn release(&mut self, dylib: DylibId) {
        self.at(dylib).loaded = false;
        self.links.of(dylib).to_vec().into_iter().for_each(|link| self.at(link).leftover = true);
    }

    fn take_back(&mut self, dylib: DylibId) -> bool {
        let open = self.is_open(dylib);
        if self.get(dylib).count > 0 {
            self.at(dylib).count -= 1;
        } else if let Some(open) = self.active.iter_mut().rfind(|each| each.counts == Some(dylib)) {
            open.counts = None;
        }
        open
    }

    fn is_open(&self, dylib: DylibId) -> bool {
        self.get(dylib).count > 0 || self.active.iter().any(|each| each.counts == Some(dylib))
    }

    /// What goes when somebody insists that nobody holds `dylib`.
    fn left_over(&mut self, dylib: DylibId) -> Vec<DylibId> {
        let Dylib { poisoned, loaded, closing, .. } = *self.get(dylib);
        if closing || self.in_use(dylib) || !loaded {
            return vec![dylib; usize::from(poisoned && !closing && !self.in_use(dylib))];
        }
        let before: Vec<_> = self.dylibs.iter().map(|dylib| dylib.leftover).collect();
        let dead = self.unheld(&self.reached(vec![dylib]));
        if dead.is_empty() {
            self.dylibs.iter_mut().zip(before).for_each(|(dylib, leftover)| dylib.leftover = leftover);
        }
        dead
    }

    /// What no count and no operation in progress holds, nor its being left over, where that is not to be forgotten.
    fn unheld(&mut self, forget: &[DylibId]) -> Vec<DylibId> {
        forget.iter().for_each(|&dylib| self.at(dylib).leftover = false);
        let holds = |&each: &DylibId| self.is_kept(each) || self.get(each).leftover || self.in_use(each);
        let held = self.reached(self.ids().filter(holds).collect());
        self.ids().filter(|each| self.get(*each).loaded && !held.contains(each)).collect()
    }

    /// What `from` reaches through loaded dylibs.
    fn reached(&self, mut from: Vec<DylibId>) -> Vec<DylibId> {
        let mut next = 0;
        while let Some(&dylib) = from.get(next) {
            next += 1;
            for &link in self.links.of(dylib).iter().filter(|_| self.get(dylib).loaded) {
                if !from.contains(&link) {
                    from.push(link);
                }
            }
        }
        from
    }

    fn unload(&mut self, dylibs: &[DylibId]) {
        if dylibs.is_empty() {
            return;
        }
        self.world.note(ME, Event::Unload { dylibs: dylibs.to_vec() });
        for &dylib in dylibs {
            (self.at(dylib).loaded, self.at(dylib).closing) = (false, true);
        }
        // Runs and handlers, whichever is the latest; what they leave behind comes next.
        loop {
            self.world.destroy(ME, |dylib| dylibs.contains(&dylib));
            let last = self.done.iter().rposition(|(dylib, _)| dylibs.contains(dylib));
            if let Some(handler) = self.world.take_handler(dylibs, last.map_or(0, |last| self.done[last].1)) {
                self.world.note(ME, Event::Handler { dylib: handler.dylib, handler: handler.number });
                self.all(handler.acts);
                self.world.note(ME, Event::HandlerEnd { dylib: handler.dylib, handler: handler.number });
            } else if let Some(last) = last {
                let (dylib, _) = self.done.remove(last);
                self.world.note(ME, Event::Fini { dylib });
                self.all(&self.program.finalizers[dylib.index()]);
                self.world.note(ME, Event::FiniEnd { dylib });
            } else {
                break;
            }
        }
        self.world.release(ME, dylibs.to_vec());
        for &dylib in dylibs {
            *self.at(dylib) = Dylib::default();
        }
    }

    fn in_use(&self, dylib: DylibId) -> bool {
        self.active.iter().any(|each| each.reached.contains(&dylib))
    }

    fn ids(&self) -> impl Iterator<Item = DylibId> + use<> {
        (0..self.dylibs.len()).map(DylibId::at)
    }

    fn get(&self, dylib: DylibId) -> &Dylib {
        &self.dylibs[dylib.index()]
    }

    fn at(&mut self, dylib: DylibId) -> &mut Dylib {
        &mut self.dylibs[dylib.index()]
    }

    fn is_kept(&self, dylib: DylibId) -> bool {
        self.get(dylib).count > 0 || self.get(dylib).pinned
    }
}

fn poisoned(dylib: DylibId) -> String {
    LoadError::Poisoned { dylib, initializer: format!("the initializer of {dylib}") }.to_string()
}
