//! Which JITDylib links against which, and what is initialized next.
//!
//! **You give** dylibs (numbers, [`DylibId`]), their link orders, and the news that an initializer has returned. **You get** the
//! order in which symbols are searched and dylibs initialized ([`DylibGraph`]), the order of the initializers inside a dylib
//! ([`init`]), and a [`Loader`] that says, at each moment and for each thread, what to run, what to wait for and what to unload,
//! as the native dynamic loader would, and also where that one deadlocks, forgets or crashes.
//!
//! **Not for** calling code, blocking threads, mapping memory, resolving symbols or talking to another process. There is no lock, no thread, no
//! clock, no I/O and no `unsafe` in here, so an order can be tested without running anything, and a loader of yours can be tested
//! against [`model`], [`rules`] and (feature `proptest`) `strategies`.
//!
//! # An example: a loader in fifty lines
//!
//! ```
//! use dylib_graph::{CloseStep, DylibId, LoadError, Loader, Outcome, Step, VisitorId};
//! use std::sync::{Condvar, Mutex};
//!
//! struct Executor {
//!     loader: Mutex<Loader>,
//!     changed: Condvar,
//! }
//!
//! impl Executor {
//!     /// Asks the loader until it has an answer. The lock is held for one question at a time.
//!     fn ask<T>(&self, mut question: impl FnMut(&mut Loader) -> Option<T>) -> T {
//!         let mut loader = self.loader.lock().unwrap();
//!         loop {
//!             let before = loader.changes();
//!             let answer = question(&mut loader);
//!             if loader.changes() != before {
//!                 self.changed.notify_all();
//!             }
//!             let seen = loader.changes();
//!             match answer {
//!                 Some(answer) => return answer,
//!                 None => loader = self.changed.wait_while(loader, |loader| loader.changes() == seen).unwrap(),
//!             }
//!         }
//!     }
//!
//!     fn open(&self, root: DylibId, me: VisitorId, run: &dyn Fn(DylibId)) -> Result<DylibId, LoadError> {
//!         let mut open = self.ask(|loader| Some(loader.begin_open(root, me)))?;
//!         while let Some(dylib) = self.ask(|loader| match loader.step(&mut open) {
//!             Ok(Step::Wait(_)) => None,
//!             Ok(Step::Run(next)) => Some(Some(next.dylib)),
//!             Ok(Step::Ready) | Err(_) => Some(None),
//!         }) {
//!             run(dylib); // no lock is held
//!             self.ask(|loader| Some(loader.completed(&mut open, Outcome::Completed)));
//!         }
//!         // Also says why, if a step failed. What was closed meanwhile is in `close`: see `Finished`.
//!         let finished = self.loader.lock().unwrap().finish_open(open);
//!         self.changed.notify_all();
//!         finished.result
//!     }
//!
//!     fn close(&self, root: DylibId, me: VisitorId, undo: &dyn Fn(DylibId)) -> Result<(), LoadError> {
//!         let mut close = self.ask(|loader| Some(loader.begin_close(root, me)))?;
//!         loop {
//!             match self.ask(|loader| Some(loader.close_step(&mut close))) {
//!                 CloseStep::Finalize(run) | CloseStep::Discard(run) => undo(run.dylib),
//!                 CloseStep::Release(_memory) => {}
//!                 CloseStep::Done => return Ok(()),
//!             }
//!         }
//!     }
//! }
//!
//! // main links against B and C, and C against B.
//! let mut loader = Loader::new();
//! let [main, b, c] = [loader.add(), loader.add(), loader.add()];
//! loader.set_link_order(main, &[b, c])?;
//! loader.set_link_order(c, &[b])?;
//!
//! let executor = Executor { loader: Mutex::new(loader), changed: Condvar::new() };
//! let ran = Mutex::new(Vec::new());
//! let note = |dylib| ran.lock().unwrap().push(dylib);
//! executor.open(main, VisitorId(1), &note)?;
//! executor.close(main, VisitorId(1), &note)?;
//! assert_eq!(ran.into_inner().unwrap(), [b, c, main, main, c, b]);
//! # Ok::<(), LoadError>(())
//! ```
//!
//! # The rules
//!
//! Comments and tests refer to these numbers; [`rules`] has a function for each, but for 5.
//!
//! 1. If a reaches b through link orders and b does not reach a, b's initializers finish before a's begin.
//! 2. Cycles are condensed into sets; sets come in depth-first post-order, links in link order; inside a set the same, from the member reached first.
//! 3. Self-links, repeated links and numbering change nothing; the same graph and calls give the same trace.
//! 4. Each initializer runs exactly once between two unloads; everything the root reaches is initialized when open returns, and nothing else is.
//! 5. Chains and fans of a million dylibs work, in near-linear time, on any stack.
//! 6. Inside a dylib: `.preinit_array`, then ascending priority; at equal priority objects, sections and entries in order.
//! 7. Opening what is in progress, from an initializer that it waits for, gives the handle and runs nothing.
//! 8. Opening what has not started, from any initializer, runs all of it at once; the outer open skips it.
//! 9. A failed inner open does not spoil the outer one.
//! 10. Code added to a dylib that is being opened is for the next open or update.
//! 11. If two threads open one dylib, one of them initializes, and both return when all is done.
//! 12. Disjoint opens proceed at the same time, even if an initializer waits for the thread of the other.
//! 13. A cycle of waits is not entered: the open that would close it returns as in rule 7. Every wait can be asked for.
//! 14. Everything is placed before anything runs. An open that cannot be done changes nothing, and fails again with the same words until its cause is mended.
//! 15. An exception poisons its dylib until that is unloaded; what had finished stays initialized, held by nobody.
//! 16. An open that is cut off leaves a state from which a repeated open converges.
//! 17. An error belongs to its thread: nothing until a call fails, its text once, then nothing; the text names symbol or dylib.
//! 18. Opens less closes is the count; a dependency lives while any open dylib reaches it.
//! 19. At zero, everything is undone in exact reverse of its completion, exit handlers too; a cycle goes as a whole.
//! 20. An exit handler belongs to the dylib whose code registered it. A program's exit undoes everything that has completed.
//! 21. Destructors of a thread's objects run on that thread, before the memory of the dylib whose code they are goes.
//! 22. A dylib that is opened after its unload is initialized again, from pristine data.
//! 23. A close too many is an error. A close from inside waits until the inside is left.
//! 24. A dylib with a thread inside is not freed: its memory is parked, or the unload waits.
//! 25. An update runs only what is new, counts nothing, and needs an open dylib.
//! 26. Links that are new are initialized by the next open or update; links that are gone are released by the next close or update.
//! 27. Symbols are searched breadth-first in link order; the default scope is the program, what is global, then the one who asks; the next scope is what follows that one.
//! 28. NOLOAD loads nothing, NODELETE lets nothing go, GLOBAL serves later lookups; no name is the program; an address is described by its dylib and nearest symbol.
//! 29. Names that linked code asks for are our dylibs' first, then the system's.
//! 30. Weak, grouped and unique definitions yield to the first in the order of lookups, groups as a whole, unless their dylib stands apart.
//!
//! Of these, the [`Loader`] decides 1 to 4, 7 to 13, 15, 16, 18 to 20, 22, 23, 25, 26 and `NODELETE`; [`order`] has 1 to 5 and the searches of 27,
//! [`init`] 6, [`scope`] 27 and the order of 30. The rest is for whoever runs code: rules that a trace can refute all the same.
#![forbid(unsafe_code)]
// The examples of the README run as tests of the documentation.
#![cfg_attr(doctest, doc = include_str!("../README.md"))]

pub mod error;
pub mod graph;
pub mod init;
pub mod loader;
pub mod order;
pub mod scope;

pub use error::{GraphError, LoadError};
pub use graph::{DylibGraph, DylibId};
pub use loader::{Close, CloseStep, Finished, Loader, Open, Outcome, Run, Status, Step, VisitorId, Waiting};
pub use order::{InitOrder, Walker};

// For testing a loader: this one, or one of yours.
pub mod model;
pub mod program;
pub mod rules;
#[cfg(feature = "proptest")]
pub mod strategies;
pub mod trace;
