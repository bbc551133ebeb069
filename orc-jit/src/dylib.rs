//! JITDylibs, and what is open of them.

use crate::error::Error;
use crate::executor::{Executor, ExecutorError, Handle, InProcess};
use crate::restart::OpenId;
use crate::session::Shared;
use crate::source::{Item, Source};
use dylib_graph::DylibId;
use jitlink::Keep;
use orc_rt::native::NativeLibrary;
use orc_rt::{Keepalive, Teardown};
use std::path::Path;
use std::sync::Arc;

/// A dylib of a session: a list of inputs, and the dylibs that it links against. Nothing is read before it is opened.
#[derive(Debug)]
pub struct JitDylib<E: Executor> {
    pub(crate) shared: Arc<Shared<E>>,
    id: DylibId,
}

impl<E: Executor> JitDylib<E> {
    pub(crate) fn new(shared: Arc<Shared<E>>, id: DylibId) -> Self {
        Self { shared, id }
    }

    /// Its number in the session's graph.
    #[must_use]
    pub fn id(&self) -> DylibId {
        self.id
    }

    fn add(&self, item: Item) -> Result<(), Error> {
        let mut state = self.shared.lock();
        state.part_mut(self.id)?.items.push(item);
        state.changed();
        Ok(())
    }

    /// Adds a relocatable object, to be linked whole.
    ///
    /// # Errors
    /// When the dylib is gone. The file is read when the dylib is opened.
    pub fn add_object_file(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        self.add(Item::Object(Source::File(path.as_ref().to_owned())))
    }

    /// Adds a relocatable object from memory; `name` is what messages call it.
    ///
    /// # Errors
    /// When the dylib is gone.
    pub fn add_object(&self, name: impl Into<String>, bytes: impl Into<Arc<[u8]>>) -> Result<(), Error> {
        self.add(Item::Object(Source::Memory { name: name.into(), bytes: bytes.into() }))
    }

    /// Adds a relocatable object that is linked when something needs what it defines, as if it were alone in an archive: what `--start-lib` is to a linker.
    /// Unlike archives, such objects must not define a name twice.
    ///
    /// # Errors
    /// When the dylib is gone.
    pub fn add_object_file_at_need(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        self.add(Item::AtNeed(Source::File(path.as_ref().to_owned())))
    }

    /// Adds a relocatable object under test, to be linked whole, behind those that test it: where both define a name, theirs stands, and its local symbols are found by
    /// them under their names.
    ///
    /// # Errors
    /// When the dylib is gone.
    pub fn add_object_file_under_test(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        self.add(Item::Tested(Source::File(path.as_ref().to_owned())))
    }

    /// Adds an archive (`.a`, `.rlib`), whose members are linked when something needs them.
    ///
    /// # Errors
    /// When the dylib is gone.
    pub fn add_archive_file(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        self.add(Item::Archive {
            source: Source::File(path.as_ref().to_owned()),
            whole: false,
            last: false,
            hidden: false,
        })
    }

    /// As [`Self::add_archive_file`]; other dylibs do not see what is defined in it, whatever its visibility, and do not ask it for anything.
    ///
    /// # Errors
    /// When the dylib is gone.
    pub fn add_hidden_archive_file(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        self.add(Item::Archive {
            source: Source::File(path.as_ref().to_owned()),
            whole: false,
            last: false,
            hidden: true,
        })
    }

    /// Adds an archive from memory; it cannot be a thin one.
    ///
    /// # Errors
    /// When the dylib is gone.
    pub fn add_archive(&self, name: impl Into<String>, bytes: impl Into<Arc<[u8]>>) -> Result<(), Error> {
        let source = Source::Memory { name: name.into(), bytes: bytes.into() };
        self.add(Item::Archive { source, whole: false, last: false, hidden: false })
    }

    /// Adds every member of an archive, as `--whole-archive` does.
    ///
    /// # Errors
    /// When the dylib is gone.
    pub fn add_whole_archive_file(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        self.add(Item::Archive {
            source: Source::File(path.as_ref().to_owned()),
            whole: true,
            last: false,
            hidden: false,
        })
    }

    /// Adds an archive that is asked only for what the process itself does not offer (`libc_nonshared.a`).
    ///
    /// # Errors
    /// When the dylib is gone.
    pub fn add_last_archive_file(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        self.add(Item::Archive {
            source: Source::File(path.as_ref().to_owned()),
            whole: false,
            last: true,
            hidden: false,
        })
    }

    /// Adds a shared library that the session has opened.
    ///
    /// # Errors
    /// When the dylib is gone.
    pub fn add_library(&self, library: NativeLibrary) -> Result<(), Error> {
        self.add(Item::Library(library))
    }

    /// Defines `name` as an address of the executor.
    ///
    /// # Errors
    /// When the dylib is gone. A clash with another definition is told when the dylib is opened.
    pub fn define_absolute(&self, name: impl Into<String>, address: u64) -> Result<(), Error> {
        self.add(Item::Absolute { name: name.into(), address })
    }

    /// Makes `name` another name of what `of` names in this dylib.
    ///
    /// # Errors
    /// When the dylib is gone. A name that is not defined is told when the dylib is opened.
    pub fn define_alias(&self, name: impl Into<String>, of: impl Into<String>) -> Result<(), Error> {
        self.add(Item::Alias { name: name.into(), of: of.into() })
    }

    /// Sets the dylibs that this one links against, in the order in which they are searched and initialized.
    ///
    /// # Errors
    /// When one of them is of another session.
    pub fn set_link_order<'a>(&self, links: impl IntoIterator<Item = &'a Self>) -> Result<(), Error>
    where
        E: 'a,
    {
        let own =
            |dylib: &Self| Arc::ptr_eq(&dylib.shared, &self.shared).then_some(dylib.id).ok_or(Error::OtherSession);
        let links: Vec<DylibId> = links.into_iter().map(own).collect::<Result<_, _>>()?;
        let mut state = self.shared.lock();
        let set = state.graph.set_link_order(self.id, &links);
        set.map_err(|error| Error::NoDylib(error.to_string()))?;
        state.changed();
        Ok(())
    }

    /// Sets which of its exported definitions stay when nothing refers to them; all do unless this is called.
    ///
    /// # Errors
    /// When the dylib is gone.
    pub fn keep(&self, keep: Keep) -> Result<(), Error> {
        let mut state = self.shared.lock();
        state.part_mut(self.id)?.keep = keep;
        state.changed();
        Ok(())
    }

    /// Whether it binds to its own weak definitions, COMDAT groups and unique symbols, whatever other dylibs define: what `-Bsymbolic` is to a linker. By default
    /// these are one for all that an open brings together, as a dynamic loader has it: the first one in lookup order.
    ///
    /// It still lends: a dylib that has not opted out may yield to a definition of this one, except that its unique symbols are not
    /// made the session's. What is already linked stays as it is.
    ///
    /// # Errors
    /// When the dylib is gone.
    pub fn keep_own_definitions(&self, keep: bool) -> Result<(), Error> {
        self.shared.lock().part_mut(self.id)?.own_definitions = keep;
        Ok(())
    }

    /// Whether its own inputs are linked when they are used: functions when they are first called, data with what refers to it. What must be there before
    /// anything runs is linked when it is opened, as is everything if code holds addresses in 32 bits. What this changes is when; what it
    /// does not: which definitions count, what is undefined, what is initialized and in which order, and whether two addresses are equal.
    ///
    /// Counts from the next open of a dylib of which nothing is linked. Trackers of it are linked as ever. A function that turns out not to be linkable
    /// when it is called, since its object is malformed or memory has run out, ends the process ([`Session::on_lazy_failure`](crate::Session::on_lazy_failure)).
    ///
    /// # Errors
    /// When the dylib is gone.
    pub fn link_lazily(&self, lazily: bool) -> Result<(), Error> {
        self.shared.lock().part_mut(self.id)?.lazily = lazily;
        Ok(())
    }

    /// Keeps `name`, wherever it comes from: an entry point that will be looked up. An archive is asked for it.
    ///
    /// # Errors
    /// When the dylib is gone.
    pub fn keep_name(&self, name: impl Into<String>) -> Result<(), Error> {
        let mut state = self.shared.lock();
        state.part_mut(self.id)?.entries.push(name.into());
        state.changed();
        Ok(())
    }
}

impl<E: Executor> Clone for JitDylib<E> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone(), id: self.id }
    }
}

/// An open dylib: initialized, with everything that it reaches. Dropping it closes it.
#[derive(Debug)]
#[must_use = "dropping it closes the dylib"]
pub struct Opened<E: Executor> {
    shared: Arc<Shared<E>>,
    open: OpenId,
    name: String,
}

impl Opened<InProcess> {
    /// Keeps the memory of the dylib that covers `address`, if one does: for a thread that is about to call what it has looked up there.
    #[must_use]
    pub fn keepalive_at(&self, address: u64) -> Option<Keepalive> {
        let runtime = self.shared.executor.runtime();
        runtime.keepalive(runtime.dylib_at(address)?)
    }
}

impl<E: Executor> Opened<E> {
    pub(crate) fn new(shared: Arc<Shared<E>>, open: OpenId, name: String) -> Self {
        Self { shared, open, name }
    }

    /// The address of a symbol in the executor: in this dylib, then in what it reaches, breadth first.
    ///
    /// # Errors
    /// When nobody defines it, or its definition cannot be linked.
    pub fn address(&self, symbol: &str) -> Result<u64, Error> {
        let handle = self.current()?;
        self.shared.request(|executor| executor.symbol(handle, symbol))
    }

    /// `jit_dlupdate`: initializes what was added since it was opened.
    ///
    /// # Errors
    /// As opening.
    pub fn update(&self) -> Result<(), Error> {
        let handle = self.current()?;
        self.shared.request(|executor| executor.update(handle))
    }

    fn current(&self) -> Result<Handle, Error> {
        self.handle().ok_or_else(|| {
            let text = format!("{} has not been opened again since the executor was started anew", self.name);
            Error::Executor(ExecutorError(text))
        })
    }

    /// Closes it: when nobody else has it open, handlers and finalizers run, and its memory goes back.
    ///
    /// # Errors
    /// The text of `jit_dlerror`.
    pub fn close(self) -> Result<(), Error> {
        match self.shared.replay.closed(self.open) {
            Some(handle) => self.shared.request(|executor| executor.close(handle)),
            None => Ok(()),
        }
    }

    /// As [`close`](Self::close); `how` says what is to be done when that would unload code that somebody is inside of: a thread with a
    /// [`Keepalive`](orc_rt::Keepalive), in `main`, started with a function of it, or with thread-local objects of it.
    ///
    /// # Errors
    /// The text of `jit_dlerror`, which says who is inside, and the dylib, which is as open as before.
    pub fn close_with(self, how: Teardown) -> Result<(), NotClosed<E>> {
        let Some(handle) = self.handle() else { return Ok(()) };
        match self.shared.request(|executor| executor.close_with(handle, how)) {
            Ok(()) => {
                self.shared.replay.closed(self.open);
                Ok(())
            }
            Err(error) => Err(NotClosed { opened: self, error: Box::new(error) }),
        }
    }

    /// The handle, as `jit_dlopen` gives it; another one after a [restart](crate::Session::restart), and none if it could not be opened
    /// again.
    #[must_use]
    pub fn handle(&self) -> Option<Handle> {
        self.shared.replay.handle(self.open)
    }
}

/// A dylib that was not closed, since somebody is inside.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct NotClosed<E: Executor> {
    /// As open as before; dropping it closes it and lets the memory wait.
    pub opened: Opened<E>,
    /// Why.
    pub error: Box<Error>,
}

impl<E: Executor> Drop for Opened<E> {
    fn drop(&mut self) {
        if let Some(handle) = self.shared.replay.closed(self.open) {
            // An error here has nobody to go to; `close` tells it.
            let _ = self.shared.executor.close(handle);
        }
    }
}
