//! Going on with a new executor when the old one is gone.
//!
//! **You give** a session whose executor has ended; **you get** the same session with a new one: libraries are opened again, and what was open is
//! linked and initialized again, from the inputs, in the order in which it was opened. [`Opened`](crate::Opened) values go on. **Not
//! here:** what the program had in memory, addresses that were looked up, opens that the program itself had made.

use crate::error::Error;
use crate::executor::{Executor, Handle};
use crate::session::Session;
use orc_rt::service::mode;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What a new executor is told that the old one was told.
#[derive(Debug, Default)]
pub(crate) struct Replay(Mutex<Log>);

#[derive(Debug, Default)]
struct Log {
    /// In the order in which they were opened first, which is what their numbers are.
    libraries: Vec<String>,
    arguments: Option<Vec<Vec<u8>>>,
    last: u64,
    /// What is open from outside, in the order of the opens: name and handle.
    open: BTreeMap<OpenId, (String, Handle)>,
}

/// An open from outside.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct OpenId(u64);

impl Replay {
    fn log(&self) -> MutexGuard<'_, Log> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn opened_library(&self, name: &str) {
        let mut log = self.log();
        if !log.libraries.iter().any(|known| known == name) {
            log.libraries.push(name.to_owned());
        }
    }

    pub(crate) fn arguments(&self, arguments: &[Vec<u8>]) {
        self.log().arguments = Some(arguments.to_vec());
    }

    pub(crate) fn opened(&self, name: &str, handle: Handle) -> OpenId {
        let mut log = self.log();
        log.last += 1;
        let id = OpenId(log.last);
        log.open.insert(id, (name.to_owned(), handle));
        id
    }

    pub(crate) fn handle(&self, open: OpenId) -> Option<Handle> {
        self.log().open.get(&open).map(|(_, handle)| *handle)
    }

    pub(crate) fn closed(&self, open: OpenId) -> Option<Handle> {
        self.log().open.remove(&open).map(|(_, handle)| handle)
    }
}

impl<E: Executor> Session<E> {
    /// Goes on with a new executor: the old one has ended, or is ended by this. Libraries are opened there again, and every dylib that is
    /// open from outside is linked and initialized again, on this thread.
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
    /// There is no other executor, or something that was open cannot be opened again; what comes after it is not open then.
    pub fn restart(&self) -> Result<(), Error> {
        let shared = &self.shared;
        {
            let mut state = shared.lock();
            shared.executor.restart()?;
            state.forget_what_is_linked();
        }
        let (libraries, arguments, open) = {
            let log = shared.replay.log();
            (log.libraries.clone(), log.arguments.clone(), log.open.clone())
        };
        if let Some(arguments) = arguments {
            shared.request(|executor| executor.set_arguments(&arguments))?;
        }
        for library in &libraries {
            shared.request(|executor| executor.open_library(library))?;
        }
        for (id, (name, _)) in open {
            let handle = shared.request(|executor| executor.open(&name, mode::NOW))?;
            // It may have been closed meanwhile.
            match shared.replay.log().open.get_mut(&id) {
                Some((_, current)) => *current = handle,
                None => drop(shared.request(|executor| executor.close(handle))),
            }
        }
        Ok(())
    }
}
