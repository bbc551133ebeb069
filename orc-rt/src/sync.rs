//! Every lock, condition variable and thread-local variable that the loader's protocol depends on, so that a model checker can stand in for
//! them: under `--cfg shuttle` they are shuttle's, whose threads take turns on one thread of the system. Atomics are not among them: those of this
//! crate only give out numbers, and nothing waits for their values.
//!
//! These locks do not know poisoning: code that runs under one of them never calls out, and leaves the data whole wherever it could
//! panic, so a panic elsewhere is no reason to refuse service.
//!
//! The locks of [`leaf`] stay the standard library's under the model checker as well: registries of the whole process (images, handles,
//! sessions, storage of threads), which outlive one run of it. That hides nothing, since whoever holds one takes no other lock, calls
//! nobody and waits for nothing before it is released.

#[cfg(shuttle)]
use shuttle::sync as imp;
#[cfg(not(shuttle))]
use std::sync as imp;

#[cfg(shuttle)]
pub(crate) use shuttle::thread_local;
#[cfg(not(shuttle))]
pub(crate) use std::thread_local;

pub(crate) use imp::MutexGuard;
pub(crate) use std::sync::{Arc, Weak};

use std::sync::PoisonError;
use std::time::Duration;

/// The types of locks, over those of one module.
macro_rules! locks {
    ($imp:ident) => {
        /// Mutual exclusion.
        #[derive(Debug, Default)]
        pub(crate) struct Mutex<T>($imp::Mutex<T>);

        impl<T> Mutex<T> {
            pub(crate) const fn new(value: T) -> Self {
                Self($imp::Mutex::new(value))
            }

            pub(crate) fn lock(&self) -> $imp::MutexGuard<'_, T> {
                self.0.lock().unwrap_or_else(PoisonError::into_inner)
            }
        }
    };
}

locks!(imp);

/// Waiting for a change of what a [`Mutex`] guards. The model checker has no clock: there a wait ends when it is notified, or never, and
/// then the checker says so.
#[derive(Debug)]
pub(crate) struct Condvar(imp::Condvar);

impl Default for Condvar {
    fn default() -> Self {
        Self::new()
    }
}

impl Condvar {
    pub(crate) const fn new() -> Self {
        Self(imp::Condvar::new())
    }

    pub(crate) fn wait_timeout<'a, T>(&self, guard: MutexGuard<'a, T>, at_most: Duration) -> MutexGuard<'a, T> {
        self.0.wait_timeout(guard, at_most).unwrap_or_else(PoisonError::into_inner).0
    }

    pub(crate) fn notify_all(&self) {
        self.0.notify_all();
    }

    pub(crate) fn notify_one(&self) {
        self.0.notify_one();
    }
}

/// Locks under which nothing else happens; see the [module](self).
pub(crate) mod leaf {
    use std::sync::{PoisonError, TryLockError};
    pub(crate) use std::sync::{RwLockReadGuard, RwLockWriteGuard};

    locks!(std_sync);
    use std::sync as std_sync;

    impl<T> Mutex<T> {
        /// For signal handlers, which cannot wait: `None` while somebody has it.
        pub(crate) fn try_lock(&self) -> Option<std::sync::MutexGuard<'_, T>> {
            self.0.try_lock().ok()
        }
    }

    /// Many readers or one writer.
    #[derive(Debug, Default)]
    pub(crate) struct RwLock<T>(std::sync::RwLock<T>);

    impl<T> RwLock<T> {
        pub(crate) const fn new(value: T) -> Self {
            Self(std::sync::RwLock::new(value))
        }

        pub(crate) fn read(&self) -> RwLockReadGuard<'_, T> {
            self.0.read().unwrap_or_else(PoisonError::into_inner)
        }

        /// Reads, unless somebody writes: for handlers of signals, which wait for nobody.
        pub(crate) fn try_read(&self) -> Option<RwLockReadGuard<'_, T>> {
            match self.0.try_read() {
                Ok(guard) => Some(guard),
                Err(TryLockError::Poisoned(guard)) => Some(guard.into_inner()),
                Err(TryLockError::WouldBlock) => None,
            }
        }

        pub(crate) fn write(&self) -> RwLockWriteGuard<'_, T> {
            self.0.write().unwrap_or_else(PoisonError::into_inner)
        }
    }
}
