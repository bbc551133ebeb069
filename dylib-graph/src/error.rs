//! What can be refused, and why.

use thiserror::Error;

use crate::graph::DylibId;
use crate::loader::VisitorId;

/// A dylib or link order that the graph refuses.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum GraphError {
    /// The dylib was never added, or was removed.
    #[error("{dylib} is not in the graph: add it before linking against it or opening it")]
    Unknown {
        /// The dylib that was named.
        dylib: DylibId,
    },
    /// Ids are handed out densely; this one lies far beyond the others.
    #[error("{dylib} lies too far beyond the {known} ids known so far: ids are handed out one after the other")]
    Sparse {
        /// The dylib that was named.
        dylib: DylibId,
        /// How many ids there were.
        known: usize,
    },
}

/// An open, update or close that cannot be done.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The graph refused it.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// Closed or updated without being open: never opened, closed too often, or unloaded since (rules 23, 25).
    #[error("{dylib} is not open: its handle is stale, or it was closed more often than opened")]
    NotOpen {
        /// The dylib that was named.
        dylib: DylibId,
    },
    /// An initializer threw, and the dylib has not been unloaded since (rule 15).
    #[error("{dylib} cannot be used: {initializer} threw an exception; unload it to try again")]
    Poisoned {
        /// The dylib whose initializer threw.
        dylib: DylibId,
        /// What the caller said of the initializer.
        initializer: String,
    },
    /// Another visitor is unloading a dylib that this open needs. Wait until the loader changes, ask for the plan
    /// again (the dylib's memory goes away with the unload), and begin anew.
    #[error("{dylib} is being unloaded by {by}; wait for that, then open again")]
    Unloading {
        /// The dylib that is going away.
        dylib: DylibId,
        /// Who unloads it.
        by: VisitorId,
    },
    /// The open comes from a finalizer of the very unload that takes the dylib away, or from one that waits for it: it can never succeed.
    #[error(
        "{dylib} is being unloaded, and the unload waits for this open: a finalizer cannot open what goes away with it"
    )]
    UnloadCycle {
        /// The dylib that is going away.
        dylib: DylibId,
    },
    /// [`Loader::step`](crate::Loader::step) was asked for more before the last run was reported.
    #[error("{dylib} is still running its initializers: report its outcome first")]
    StillRunning {
        /// The dylib that runs.
        dylib: DylibId,
    },
    /// The dylib cannot be unloaded or removed: it is open, or an open dylib depends on it, or somebody is working with it.
    #[error("{dylib} is still in use")]
    InUse {
        /// The dylib that was named.
        dylib: DylibId,
    },
    /// The open ended before everything was initialized.
    #[error("the open of {dylib} was abandoned")]
    Abandoned {
        /// The root of the open.
        dylib: DylibId,
    },
    /// Everything was unloaded while the open was under way.
    #[error("the loader was shut down")]
    ShutDown,
}
