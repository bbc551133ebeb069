//! What lets an open or a lookup be answered without asking the controller: a count of the controller's changes.
//!
//! The controller turns it, the executor reads it: as long as it stands where it stood when the controller was last asked, the answer is the
//! same. Only for a controller in this process; without one ([`Config::changes`](crate::Config::changes)) it is asked every time.

use crate::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A count of what a controller changes. Clones share it.
///
/// ```
/// let changes = orc_rt::Changes::default();
/// let config = orc_rt::Config { changes: Some(changes.clone()), ..orc_rt::Config::new(std::sync::Arc::new(dispatch::Registry::new())) };
/// // An object was added to a dylib: before whoever added it hears that it was.
/// changes.note();
/// # assert!(config.changes.is_some());
/// ```
#[derive(Clone, Debug, Default)]
pub struct Changes(Arc<AtomicU64>);

impl Changes {
    /// Something changed that can make an open of an open dylib incomplete, or the answer to a lookup another: an input came, went or was
    /// replaced, a link order was set, a lookup linked code. To be called after the change and before anybody hears that it was made.
    ///
    /// Not needed for what the executor has asked for itself: code that a plan names, dylibs that it has closed.
    pub fn note(&self) {
        self.0.fetch_add(1, Ordering::Release);
        crate::recent::turn();
    }

    /// Where it stands. What is asked of the controller afterwards takes every change into account that is counted here.
    pub(crate) fn now(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }
}
