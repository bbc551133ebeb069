//! Programs that open and close dylibs, and an executor that runs them without running any code.
//!
//! You give what threads, initializers and finalizers do; you get the [`Trace`] that a [`Loader`] makes of it. Not for real
//! dylibs: an initializer here is a list of [`Act`]s. The threads are interleaved as a schedule says, one step of one visitor
//! at a time, so a failing interleaving can be repeated and shrunk.

mod threads;
pub(crate) mod world;

use crate::graph::DylibId;
use crate::init::InitSection;
use crate::loader::Loader;
use crate::scope::Scope;
use crate::trace::{Definition, Mode, Trace};
use threads::{Machine, Thread};

/// One thing that a thread, an initializer, a finalizer or a handler does.
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
    /// From now on the dylib cannot be linked, if it is not yet, until it is mended.
    Lack(DylibId),
    /// Wait until this thread has done everything: only sensible in an initializer. Threads count from 0, in the order of their beginning.
    Join(usize),
    /// Start one more thread.
    Start(Vec<Act>),
    /// Wait until the thread that this one started last has done everything.
    JoinStarted,
    /// Open, with a mode.
    OpenWith(DylibId, Mode),
    /// End the program. The dylib is only what the call names.
    Exit(DylibId),
    /// Add code with these arrays of initializers, and so many entries each.
    Arrays(DylibId, Vec<(InitSection, u32)>),
    /// Ask how often the dylib is open.
    Count(DylibId),
    /// Ask for the thread's error.
    TakeError,
    /// From now on this dylib is the program.
    Program(DylibId),
    /// Enter the dylib's code, if it is initialized. What a list of acts has entered it leaves at its end.
    Enter(DylibId),
    /// Leave what was entered last.
    Leave,
    /// Register a handler that does this. As each act below, it belongs to the dylib whose code does it, and does nothing outside of any.
    AtExit(Vec<Act>),
    /// Make an object of this thread with a destructor.
    ThreadLocal,
    /// Count the counter in the dylib's data up.
    Touch,
    /// Bind a weak reference.
    Refer(String),
    /// Look a symbol up, as the dylib whose code does it or as nobody.
    Lookup(Scope, String),
    /// From now on the dylib defines this.
    Define(DylibId, Definition),
    /// From now on the dylib's definitions yield to nobody's.
    Apart(DylibId),
    /// Ask what lies so many bytes into the dylib.
    Describe(DylibId, u64),
    /// From now on the dylib has this name.
    Named(DylibId, String),
    /// Ask for the library of this name.
    Resolve(String),
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
    /// [`Deadlock`], which no program without [`Act::Join`] or [`Act::JoinStarted`] can reach (rule 13).
    ///
    /// # Panics
    /// When an act names a dylib that the program does not have.
    pub fn run(&self, schedule: &[u8]) -> Result<Run, Box<Deadlock>> {
        let mut machine = Machine::new(self);
        let mut threads: Vec<Thread<'_>> = std::mem::take(&mut machine.started);
        let mut turns = schedule.iter().map(|&turn| usize::from(turn));
        let mut idle = 0;
        let mut round = 0;
        while idle <= threads.len() && !threads.is_empty() {
            let turn = turns.next().unwrap_or_else(|| {
                idle += 1;
                round += 1;
                round - 1
            }) % threads.len();
            let finished: Vec<bool> = threads.iter().map(|thread| thread.is_finished(&machine)).collect();
            if threads[turn].advance(self, &mut machine, &finished) {
                idle = 0;
            }
            threads.append(&mut machine.started);
        }
        let all = threads.iter().all(|thread| thread.is_finished(&machine));
        let Machine { loader, world, .. } = machine;
        if all || world.ended {
            Ok(Run { loader, trace: world.trace })
        } else {
            let waits = loader.waits().collect();
            Err(Box::new(Deadlock { trace: world.trace, waits }))
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
}
