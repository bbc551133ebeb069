//! The right to talk to the controller about opens and closes: one thread has it at a time, so that both sides see these in one order.
//!
//! You ask for it and get a guard. A thread that waits for it knows who has it and since when, and says so when that lasts. Not for what is planned.

use crate::sync::{Condvar, Mutex, MutexGuard};
use crate::waits::Waits;
use dylib_graph::VisitorId;
use std::time::Instant;

/// See the [module](self).
#[derive(Debug, Default)]
pub(crate) struct PlanLock {
    planner: Mutex<Option<Planner>>,
    freed: Condvar,
}

/// Who has it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Planner {
    pub(crate) visitor: VisitorId,
    pub(crate) since: Instant,
}

/// Held while talking to the controller.
#[derive(Debug)]
#[must_use = "others may plan as soon as it is dropped"]
pub(crate) struct Planning<'a>(&'a PlanLock);

impl PlanLock {
    /// Waits until `visitor` has it; `None` if it has it already, for an IFUNC resolver that opens or closes something.
    pub(crate) fn take(&self, visitor: VisitorId, waits: &Waits) -> Option<Planning<'_>> {
        let mut planner = self.planner.lock();
        if planner.is_some_and(|planner| planner.visitor == visitor) {
            return None;
        }
        if planner.is_some() {
            planner = self.wait(planner, visitor, waits);
        }
        *planner = Some(Planner { visitor, since: Instant::now() });
        Some(Planning(self))
    }

    fn wait<'a>(
        &'a self,
        mut planner: MutexGuard<'a, Option<Planner>>,
        visitor: VisitorId,
        waits: &Waits,
    ) -> MutexGuard<'a, Option<Planner>> {
        let mut wait = waits.begin(visitor, crate::waits::Awaited::Planning, Vec::new());
        while let Some(Planner { visitor: by, since }) = *planner {
            planner = self.freed.wait_timeout(planner, wait.left());
            if wait.is_due() {
                drop(planner);
                wait.report(|_| vec![crate::waits::planner(by, since)]);
                planner = self.planner.lock();
            }
        }
        // Whoever hears that it is over may take its time.
        *planner = Some(Planner { visitor, since: Instant::now() });
        drop(planner);
        drop(wait);
        self.planner.lock()
    }
}

impl Drop for Planning<'_> {
    fn drop(&mut self) {
        *self.0.planner.lock() = None;
        self.0.freed.notify_one();
    }
}
