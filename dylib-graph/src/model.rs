//! What the [`Loader`](crate::Loader) does, said as simply as possible: one thread, recursion, no regard for cost.
//!
//! You give a [`Program`]; you get the trace that the loader must make of its first thread. Not for use: every question is
//! answered by searching the whole graph again.

use crate::graph::DylibId;
use crate::loader::VisitorId;
use crate::program::{Act, Program};
use crate::trace::{Call, Event, Links, Trace};

/// What `program`'s first thread makes happen.
#[must_use]
pub fn run(program: &Program) -> Trace {
    let links = Links(program.links.clone());
    let dylibs = links.0.iter().map(|_| Dylib::default()).collect();
    let mut model = Model { program, links, dylibs, active: vec![], done: vec![], trace: Trace::new(&program.links) };
    model.all(program.threads.first().map_or(&[], |acts| acts));
    model.trace
}

#[derive(Default)]
struct Dylib {
    count: u64,
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
    broken: bool,
}

struct Model<'a> {
    program: &'a Program,
    links: Links,
    dylibs: Vec<Dylib>,
    /// Operations in progress, outermost first.
    active: Vec<Active>,
    /// Whose runs are to be undone, in the order in which they ended.
    done: Vec<DylibId>,
    trace: Trace,
}

struct Active {
    reached: Vec<DylibId>,
    /// What it counts for when it succeeds.
    counts: Option<DylibId>,
}

impl Model<'_> {
    fn all(&mut self, acts: &[Act]) {
        acts.iter().for_each(|act| self.act(act));
    }

    fn act(&mut self, act: &Act) {
        let (call, dylib) = match *act {
            Act::Link(dylib, ref links) => {
                let old = std::mem::replace(&mut self.links.0[dylib.index()], links.clone());
                if old != *links && self.at(dylib).loaded {
                    old.into_iter().for_each(|link| self.at(link).leftover = true);
                }
                return self.note(Event::Link { dylib, links: links.clone() });
            }
            Act::Code(dylib) => {
                self.at(dylib).code.0 += 1;
                return self.note(Event::Code { dylib });
            }
            Act::Break(dylib) => return self.at(dylib).broken = true,
            Act::Mend(dylib) => return self.at(dylib).broken = false,
            Act::Join(_) => return,
            Act::Open(dylib) => (Call::Open, dylib),
            Act::Cut(dylib, _) => (Call::Cut, dylib),
            Act::Update(dylib) => (Call::Update, dylib),
            Act::Close(dylib) => (Call::Close, dylib),
            Act::Unload(dylib) => (Call::Unload, dylib),
        };
        self.note(Event::Begin { call, dylib });
        let ok = match (call, act) {
            (Call::Update, _) => self.is_open(dylib) && self.open(dylib, false, usize::MAX),
            (Call::Close, _) => self.take_back(dylib),
            (Call::Unload | Call::Deferred, _) => false,
            (_, &Act::Cut(_, limit)) => self.open(dylib, true, limit),
            (_, _) => self.open(dylib, true, usize::MAX),
        };
        let end = |call, ok| Event::End { call, dylib, ok };
        let forget = if ok && call != Call::Open { self.ids().collect() } else { vec![] };
        let dead = if call == Call::Unload { self.left_over(dylib) } else { self.unheld(&forget) };
        if matches!(call, Call::Close | Call::Unload) {
            self.unload(&dead);
            self.note(end(call, ok || dead.contains(&dylib)));
        } else {
            self.note(end(call, ok));
            if !dead.is_empty() {
                self.note(Event::Begin { call: Call::Deferred, dylib });
                self.unload(&dead);
                self.note(end(Call::Deferred, true));
            }
        }
    }

    fn open(&mut self, root: DylibId, counts: bool, limit: usize) -> bool {
        let order = self.links.init_order(root);
        if order.iter().any(|&dylib| self.at(dylib).poisoned || self.at(dylib).closing) {
            return false;
        }
        // Rule 7: what is in progress, and above the initializer that we are in, is not ours to run.
        let elsewhere = |dylib| {
            self.in_use(dylib) && self.ids().any(|each| self.get(each).running && self.links.reaches(dylib, each))
        };
        let mine = |dylib: &DylibId| !elsewhere(root) && !elsewhere(*dylib);
        let todo: Vec<_> = order.iter().copied().filter(mine).map(|dylib| (dylib, self.get(dylib).code.0)).collect();
        order.iter().for_each(|&dylib| self.at(dylib).loaded = true);
        let fresh: Vec<_> = order.iter().copied().filter(|&dylib| !self.get(dylib).ready).collect();
        self.active.push(Active { reached: order, counts: counts.then_some(root) });
        let ok = self.initialize(&todo, limit) && limit == usize::MAX;
        let ended = self.active.pop();
        if !ok {
            self.let_go(&fresh);
        } else if let Some(dylib) = ended.and_then(|ended| ended.counts) {
            self.at(dylib).count += 1;
        }
        ok
    }

    fn initialize(&mut self, todo: &[(DylibId, u32)], mut limit: usize) -> bool {
        for &(dylib, code) in todo {
            let Dylib { poisoned, ready, code: (_, ran), .. } = *self.get(dylib);
            if limit == 0 || poisoned {
                return false;
            }
            if ready && ran >= code {
                continue;
            }
            limit -= 1;
            self.note(Event::Init { dylib });
            self.at(dylib).running = true;
            self.all(&self.program.initializers[dylib.index()]);
            self.at(dylib).running = false;
            self.done.push(dylib);
            let ok = !self.at(dylib).broken;
            self.note(Event::InitEnd { dylib, ok });
            if !ok {
                self.at(dylib).poisoned = true;
                if !ready && self.get(dylib).count == 0 {
                    self.release(dylib);
                }
                return false;
            }
            (self.at(dylib).ready, self.at(dylib).code.1) = (true, code);
        }
        true
    }

    fn let_go(&mut self, fresh: &[DylibId]) {
        for &dylib in fresh {
            self.at(dylib).leftover = true;
            let Dylib { ready, poisoned, count, .. } = *self.get(dylib);
            if !ready && !poisoned && count == 0 && !self.in_use(dylib) {
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
        let holds = |&each: &DylibId| self.get(each).count > 0 || self.get(each).leftover || self.in_use(each);
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
        self.note(Event::Unload { dylibs: dylibs.to_vec() });
        for &dylib in dylibs {
            (self.at(dylib).loaded, self.at(dylib).closing) = (false, true);
        }
        while let Some(last) = self.done.iter().rposition(|dylib| dylibs.contains(dylib)) {
            let dylib = self.done.remove(last);
            self.note(Event::Fini { dylib });
            self.all(&self.program.finalizers[dylib.index()]);
            self.note(Event::FiniEnd { dylib });
        }
        self.note(Event::Release { dylibs: dylibs.to_vec() });
        for &dylib in dylibs {
            *self.at(dylib) = Dylib { broken: self.get(dylib).broken, ..Dylib::default() };
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

    fn note(&mut self, event: Event) {
        self.trace.events.push((VisitorId(0), event));
    }
}
