//! Going on with a new executor when the old one is gone.
//!
//! **You give** a session whose executor has ended; **you get** the same session with a new one: libraries are opened again, and what was open is
//! linked and initialized again, from the inputs, in the order in which it was opened. [`Opened`](crate::Opened) values go on. **Not
//! here:** what the program had in memory, addresses that were looked up, opens that the program itself had made.

use crate::error::Error;
use crate::executor::{Executor, ExecutorError, Handle};
use crate::session::Session;
use orc_rt::service::mode;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

/// What is to be open again in a new executor.
#[derive(Debug, Default)]
pub(crate) struct Replay {
    log: Mutex<Log>,
    /// Held by who restarts.
    restarting: Mutex<()>,
}

#[derive(Debug, Default)]
struct Log {
    /// Counts executors.
    era: u64,
    last: u64,
    /// What is open from outside, in the order of the opens: name, and handle unless this executor has not opened it yet.
    open: BTreeMap<OpenId, (String, Option<Handle>)>,
}

/// An open from outside.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct OpenId(u64);

impl Replay {
    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Another number after each restart.
    pub(crate) fn era(&self) -> u64 {
        self.log().era
    }

    /// Notes an open that was begun in `era`; `None` when that is past, and it is not known whose the handle is.
    pub(crate) fn opened(&self, era: u64, name: &str, handle: Handle) -> Option<OpenId> {
        let mut log = self.log();
        if log.era != era {
            return None;
        }
        log.last += 1;
        let id = OpenId(log.last);
        log.open.insert(id, (name.to_owned(), Some(handle)));
        Some(id)
    }

    pub(crate) fn handle(&self, open: OpenId) -> Option<Handle> {
        self.log().open.get(&open).and_then(|(_, handle)| *handle)
    }

    /// Notes a close; gives the handle that is to be closed.
    pub(crate) fn closed(&self, open: OpenId) -> Option<Handle> {
        self.log().open.remove(&open).and_then(|(_, handle)| handle)
    }

    /// The handles mean nothing any more.
    fn begin_anew(&self) {
        let mut log = self.log();
        log.era += 1;
        log.open.values_mut().for_each(|(_, handle)| *handle = None);
    }

    /// Notes that it is open again; whether anybody still wants that.
    fn opened_again(&self, open: OpenId, handle: Handle) -> bool {
        match self.log().open.get_mut(&open) {
            Some((_, current)) => {
                *current = Some(handle);
                true
            }
            None => false,
        }
    }
}

impl<E: Executor> Session<E> {
    /// Goes on with a new executor: the old one has ended, or is ended by this, without its handlers and finalizers. Libraries are opened
    /// there again, and every dylib that is open from outside is linked and initialized again, on this thread, which from now on has the
    /// executor's main thread. What other threads have asked the old one fails.
    ///
    /// ```no_run
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use orc_jit::{Error, Remote, Session, SessionOptions};
    ///
    /// let session = Session::new(Remote::connect(&"spawn".parse()?, Default::default())?, SessionOptions::default())?;
    /// session.add_dylib("plugin")?.add_object_file("plugin.o")?;
    /// match session.run("plugin", "main", &["plugin".into()]) {
    ///     Err(Error::Ended(crash)) => {
    ///         eprintln!("{}", crash.report());
    ///         session.restart()?;
    ///     }
    ///     other => println!("{}", other?),
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// There is no other executor, another thread is restarting, or something that was open cannot be opened again; what comes after it is
    /// not open then.
    pub fn restart(&self) -> Result<(), Error> {
        let shared = &self.shared;
        let refused = |text: &str| Err(Error::Executor(ExecutorError(text.to_owned())));
        let _restarting = match shared.replay.restarting.try_lock() {
            Ok(guard) => guard,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return refused("the executor is being started anew already"),
        };
        if shared.enter().is_none() {
            return refused("a resolver of an indirect function cannot start its executor anew");
        }
        shared.executor.restart(&|| {
            let mut state = shared.lock();
            state.forget_what_is_linked();
            shared.replay.begin_anew();
        })?;
        let open = shared.replay.log().open.clone();
        for (id, (name, _)) in open {
            let handle = shared.request(|executor| executor.open(&name, mode::NOW))?;
            if !shared.replay.opened_again(id, handle) {
                // It was closed meanwhile. An error here is that of a finalizer, which has nobody to go to.
                let _ = shared.request(|executor| executor.close(handle));
            }
        }
        Ok(())
    }
}
