//! The other side of a connection, as something to call.
//!
//! A peer is an [`Endpoint`](crate::Endpoint) (the protocol), a transport (the bytes) and a [`Dispatcher`](crate::dispatcher) (the
//! threads for the other side's calls). You get one from [`Connect`](crate::Connect); it is not for sharing a connection between
//! several protocols.
//!
//! # Who reads
//! There is no thread that does nothing but read. Of all threads that wait for something from the other side, one reads for all, and
//! leaves reading to the next when it has what it waits for. So a call and its answer need no hand-over between threads. *Server
//! threads* ([`Peer::serve`], or those in the background that [`Connect`](crate::Connect) starts) read while nobody else waits.
//!
//! # Who serves
//! A call that the other side makes from within a handler that it runs for us is served by our thread that waits for that handler:
//! the chain behaves like one thread, to any depth. All other calls go to the dispatcher.

use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;

use crate::call::{Caller, Reply, Tag};
use crate::connect::Setup;
use crate::endpoint::Features;
use crate::error::{CallError, Disconnect};

mod calls;
mod cancel;
mod clock;
mod context;
mod end;
mod link;
mod recent;
mod turns;
mod urgent;

pub use cancel::CancelToken;
pub(crate) use clock::{Heartbeat, Watch};
pub use context::cancelled;
pub(crate) use end::Explainer;
pub(crate) use link::{Link, NoticeHandler, Parts};
pub use recent::{CallRecord, CallState};

/// A connection's other side. Clones are the same connection; when the last is dropped, it hangs up.
///
/// Handlers that need the peer they serve should hold a [`WeakPeer`]: a peer that its own handlers keep alive never hangs up.
#[derive(Clone)]
pub struct Peer(Arc<Handle>);

struct Handle {
    link: Arc<Link>,
    setup: Option<Setup>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.link.hang_up(Ok(()), "this side has dropped it");
    }
}

impl Peer {
    pub(crate) fn new(link: Arc<Link>, setup: Option<Setup>) -> Self {
        Peer(Arc::new(Handle { link, setup }))
    }

    /// What the other side said of itself when it connected. An executor has `None`: its controller need not say anything.
    pub fn setup(&self) -> Option<&Setup> {
        self.0.setup.as_ref()
    }

    /// The other side, as its transport calls it.
    pub fn name(&self) -> &str {
        self.0.link.name()
    }

    /// What both sides can do beyond the basic protocol, as far as it is known yet.
    pub fn features(&self) -> Features {
        self.0.link.features()
    }

    /// [`call`](Caller::call), but waits no longer than `timeout`, nor do the calls that this thread makes meanwhile on its behalf. The
    /// other side is told, if it wants to know: a call that it has not begun is dropped, a handler that runs may ask
    /// [`cancelled`](crate::cancelled), and the calls that this handler makes fail.
    ///
    /// The time passes unnoticed while this thread runs a nested call's handler, or while its arguments cannot be sent.
    ///
    /// If there is no server thread, one is started in the background, for somebody must read while this thread watches the time.
    ///
    /// # Errors
    /// [`CallError::TimedOut`], and all that `call` reports.
    pub fn call_within(&self, timeout: Duration, tag: Tag, args: &[u8]) -> Result<Reply, CallError> {
        self.0.link.call(tag, args, Some(timeout), None)
    }

    /// [`call`](Caller::call), until `token` calls it off; the other side is then told as by [`call_within`](Peer::call_within), and
    /// the calls on this connection that this thread makes meanwhile on its behalf are called off with it.
    ///
    /// # Errors
    /// [`CallError::Cancelled`], and all that `call` reports.
    pub fn call_cancellable(&self, token: &CancelToken, tag: Tag, args: &[u8]) -> Result<Reply, CallError> {
        if token.is_cancelled() {
            return Err(CallError::Cancelled(tag));
        }
        self.0.link.call(tag, args, None, Some(token))
    }

    /// Sends a notice: a message that is not answered, of at most [`Limits::max_notice`](crate::Limits::max_notice) bytes with its
    /// header. Notices arrive in the order in which one thread sends them, and behind the calls and answers that it sent before.
    ///
    /// Subjects below 0x100 are the protocol's own. May block while the other side does not read. An executor knows that its
    /// controller takes notices when the controller's Setup has come, which is before its first call.
    ///
    /// # Errors
    /// The other side takes no notices (as LLVM's tools), the subject is reserved, the notice is too large, or the connection is over.
    /// That it was sent does not mean that it arrives.
    pub fn notify(&self, subject: Tag, bytes: &[u8]) -> Result<(), CallError> {
        self.0.link.notify(subject, bytes)
    }

    /// The last 16 calls of both directions, the oldest first: what was going on, for a report of how the connection ended.
    pub fn recent_calls(&self) -> Vec<CallRecord> {
        self.0.link.recent_calls()
    }

    /// How many calls have no answer yet: those of this side, and the other side's. Both are bounded by
    /// [`max_pending`](crate::Limits::max_pending). One that was given up counts until the other side has answered it.
    pub fn in_flight(&self) -> (usize, usize) {
        self.0.link.in_flight()
    }

    /// Makes this thread a server thread until the connection ends; says why it ended. Several threads may do so.
    pub fn serve(&self) -> Arc<Disconnect> {
        self.0.link.serve()
    }

    /// Starts a server thread in the background, until the connection ends.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn serve_in_background(&self) -> std::io::Result<()> {
        Link::serve_in_background(&self.0.link)
    }

    /// Waits until the connection ends, without reading from it; says why it ended.
    pub fn wait_closed(&self) -> Arc<Disconnect> {
        self.0.link.wait_closed()
    }

    /// Why the connection ended, if it has.
    pub fn closed(&self) -> Option<Arc<Disconnect>> {
        self.0.link.closed()
    }

    /// Ends the connection: every call that waits, here and there, fails. An error is the reason that the other side is told.
    pub fn hang_up(&self, reason: Result<(), String>) {
        self.0.link.hang_up(reason, "this side has hung up");
    }

    /// A handle that does not keep the connection.
    pub fn downgrade(&self) -> WeakPeer {
        WeakPeer(Arc::downgrade(&self.0))
    }
}

impl Caller for Peer {
    fn call(&self, tag: Tag, args: &[u8]) -> Result<Reply, CallError> {
        self.0.link.call(tag, args, None, None)
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Peer({})", self.name())
    }
}

/// A [`Peer`] for its own handlers: calls it while it is there, does not keep it.
#[derive(Clone)]
pub struct WeakPeer(Weak<Handle>);

impl WeakPeer {
    /// The peer, while somebody keeps it.
    pub fn upgrade(&self) -> Option<Peer> {
        self.0.upgrade().map(Peer)
    }
}

impl Caller for WeakPeer {
    fn call(&self, tag: Tag, args: &[u8]) -> Result<Reply, CallError> {
        match self.upgrade() {
            Some(peer) => peer.call(tag, args),
            None => Err(CallError::Disconnected(Arc::new(Disconnect {
                peer: "the peer".to_owned(),
                reason: "this side has dropped it".to_owned(),
            }))),
        }
    }
}

impl fmt::Debug for WeakPeer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WeakPeer")
    }
}
