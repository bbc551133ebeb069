//! What the [`Loader`](crate::Loader) does, said as simply as possible: one thread, recursion, no regard for cost.
//!
//! You give a [`Program`]; you get the trace that the loader must make of its first thread. Not for use: every question is
//! answered by searching the whole graph again.

use crate::graph::DylibId;
use crate::loader::VisitorId;
use crate::program::{Act, Program};
use crate::trace::{Call, Event, Trace};

/// What `program`'s first thread makes happen.
#[must_use]
pub fn run(program: &Program) -> Trace {
    let dylibs = program.links.iter().map(|links| Dylib { links: links.clone(), ..Dylib::default() }).collect();
    let mut model = Model { program, dylibs, active: vec![], done: vec![], trace: Trace::new(&program.links) };
    model.all(program.threads.first().map_or(&[], |acts| acts));
    model.trace
}

#[derive(Default)]
struct Dylib {
    links: Vec<DylibId>,
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
                let old = std::mem::replace(&mut self.at(dylib).links, links.clone());
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
            (Call::Unload | Call::Deferred, _) => self.is_left_poisoned(dylib),
            (_, &Act::Cut(_, limit)) => self.open(dylib, true, limit),
            (_, _) => self.open(dylib, true, usize::MAX),
        };
        let end = |call, ok| Event::End { call, dylib, ok };
        let dead = match call {
            Call::Unload => vec![dylib; usize::from(ok)],
            _ => self.unheld(ok && call != Call::Open),
        };
        if matches!(call, Call::Close | Call::Unload) {
            self.unload(&dead);
            self.note(end(call, ok));
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
        let order = self.order(root);
        if order.iter().any(|&dylib| self.at(dylib).poisoned || self.at(dylib).closing) {
            return false;
        }
        // Rule 7: what is in progress, and above the initializer that we are in, is not ours to run.
        let elsewhere =
            |dylib| self.in_use(dylib) && self.ids().any(|each| self.get(each).running && self.reaches(dylib, each));
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
        self.get(dylib).links.clone().into_iter().for_each(|link| self.at(link).leftover = true);
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

    fn is_left_poisoned(&self, dylib: DylibId) -> bool {
        let Dylib { poisoned, loaded, closing, .. } = *self.get(dylib);
        poisoned && !loaded && !closing && !self.in_use(dylib)
    }

    /// What no count and no operation in progress holds any more.
    fn unheld(&mut self, leftovers: bool) -> Vec<DylibId> {
        if leftovers {
            self.dylibs.iter_mut().for_each(|dylib| dylib.leftover = false);
        }
        let holds = |&each: &DylibId| self.get(each).count > 0 || self.get(each).leftover || self.in_use(each);
        let mut held: Vec<_> = self.ids().filter(holds).collect();
        let mut next = 0;
        while let Some(&dylib) = held.get(next) {
            next += 1;
            for &link in self.get(dylib).links.iter().filter(|_| self.get(dylib).loaded) {
                if !held.contains(&link) {
                    held.push(link);
                }
            }
        }
        self.ids().filter(|each| self.get(*each).loaded && !held.contains(each)).collect()
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
            let Dylib { links, broken, .. } = std::mem::take(self.at(dylib));
            *self.at(dylib) = Dylib { links, broken, ..Dylib::default() };
        }
    }

    /// Rule 2: depth-first, then each cycle drawn together where its last member stands.
    fn order(&self, root: DylibId) -> Vec<DylibId> {
        let (mut seen, mut order) = (vec![], vec![]);
        self.visit(root, &mut seen, &mut order);
        let mutual = |a, b| self.reaches(a, b) && self.reaches(b, a);
        let left = order.clone();
        order.sort_by_key(|&dylib| left.iter().rposition(|&each| mutual(dylib, each)));
        order
    }

    fn visit(&self, dylib: DylibId, seen: &mut Vec<DylibId>, left: &mut Vec<DylibId>) {
        if !seen.contains(&dylib) {
            seen.push(dylib);
            self.get(dylib).links.iter().for_each(|&link| self.visit(link, seen, left));
            left.push(dylib);
        }
    }

    fn reaches(&self, from: DylibId, to: DylibId) -> bool {
        let mut seen = vec![];
        self.visit(from, &mut seen, &mut vec![]);
        seen.contains(&to)
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
