//! File descriptors on their way beside frames, as SCM_RIGHTS.

use std::collections::VecDeque;
use std::fmt;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use crate::sync::Mutex;

/// How many received descriptors wait to be taken, and how many leave with one frame.
pub const MAX_DESCRIPTORS: usize = 16;

/// File descriptors beside the frames of one [`Unix`](super::Unix) transport. Clones are the same handle.
///
/// Descriptors keep their order, and arrive no later than the frame they were sent with: whoever has received the frame finds them in
/// [`take_received`](Descriptors::take_received). Which descriptor belongs to which frame is for the frames to say.
#[derive(Clone, Default)]
pub struct Descriptors(Arc<Waiting>);

#[derive(Default)]
struct Waiting {
    outgoing: Mutex<VecDeque<OwnedFd>>,
    received: Mutex<Vec<OwnedFd>>,
}

impl Descriptors {
    /// Sends `descriptor` with the first byte of the next frame that this side begins. Of more than [`MAX_DESCRIPTORS`] the rest leaves
    /// with the frames after it.
    pub fn send_with_next(&self, descriptor: OwnedFd) {
        self.0.outgoing.lock().push_back(descriptor);
    }

    /// Those that have arrived and were not taken yet, oldest first; all are closed on exec.
    ///
    /// A peer cannot fill this process's table: while [`MAX_DESCRIPTORS`] wait here, further ones are closed as they arrive.
    pub fn take_received(&self) -> Vec<OwnedFd> {
        std::mem::take(&mut *self.0.received.lock())
    }

    pub(crate) fn next_outgoing(&self) -> Vec<OwnedFd> {
        let mut outgoing = self.0.outgoing.lock();
        let count = outgoing.len().min(MAX_DESCRIPTORS);
        outgoing.drain(..count).collect()
    }

    pub(crate) fn keep(&self, arrived: impl Iterator<Item = OwnedFd>) {
        let mut received = self.0.received.lock();
        for descriptor in arrived {
            if received.len() < MAX_DESCRIPTORS {
                received.push(descriptor);
            } else {
                tracing::warn!(target: "dispatch", "a received file descriptor is closed: {MAX_DESCRIPTORS} wait already");
            }
        }
    }
}

impl fmt::Debug for Descriptors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (outgoing, received) = (self.0.outgoing.lock().len(), self.0.received.lock().len());
        write!(f, "Descriptors({outgoing} to send, {received} received)")
    }
}
