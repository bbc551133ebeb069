//! Frames through a pair of queues in this process: no system call, one copy of a payload that is borrowed and none of one that is
//! owned.

use std::io;

use crossbeam::channel::{Receiver, Sender, unbounded};

use super::{Closer, RecvFrame, SendFrame, Transport, TransportError};
use crate::frame::{Frame, Limits};

/// Two ends; what one sends, the other receives. Sending never blocks.
///
/// ```
/// # use dispatch::transport::channel;
/// dispatch::conformance::check(|| Ok(channel::pair()))?;
/// # Ok::<(), dispatch::conformance::Failure>(())
/// ```
pub fn pair() -> (Channel, Channel) {
    let (left, right) = (unbounded(), unbounded());
    (
        Channel { outgoing: left.0.clone(), incoming: right.1, own: right.0.clone() },
        Channel { outgoing: right.0, incoming: left.1, own: left.0 },
    )
}

/// `None` ends a direction. The end is a message of its own, and not the disappearance of the sender, because a closer must be able
/// to send it from either side.
type Item = Option<Frame<'static>>;

/// One end of a [`pair`].
#[derive(Debug)]
pub struct Channel {
    pub(super) outgoing: Sender<Item>,
    pub(super) incoming: Receiver<Item>,
    /// Leads to `incoming`, so that a closer wakes this side too.
    pub(super) own: Sender<Item>,
}

/// The sending half of a [`Channel`].
#[derive(Debug)]
pub struct ChannelSender(Sender<Item>);

/// The receiving half of a [`Channel`].
#[derive(Debug)]
pub struct ChannelReceiver {
    incoming: Receiver<Item>,
    max_frame: u64,
    ended: bool,
}

impl Transport for Channel {
    type Sender = ChannelSender;
    type Receiver = ChannelReceiver;

    fn split(self, limits: &Limits) -> io::Result<(ChannelSender, ChannelReceiver)> {
        let max_frame = limits.max_frame;
        let receiver = ChannelReceiver { incoming: self.incoming, max_frame, ended: false };
        Ok((ChannelSender(self.outgoing), receiver))
    }

    fn name(&self) -> String {
        "the other end of the channel".to_owned()
    }

    fn closer(&self) -> Option<Closer> {
        let ends = [self.outgoing.clone(), self.own.clone()];
        Some(Closer::new(move || {
            for end in &ends {
                // An end whose receiver is gone needs no telling.
                let _ = end.send(None);
            }
        }))
    }
}

impl SendFrame for ChannelSender {
    fn send(&mut self, frame: Frame<'_>) -> Result<(), TransportError> {
        self.0.send(Some(frame.into_owned())).map_err(|_| TransportError::Closed)
    }
}

impl Drop for ChannelSender {
    fn drop(&mut self) {
        // If the receiver is gone, so is the need to tell it.
        let _ = self.0.send(None);
    }
}

impl RecvFrame for ChannelReceiver {
    fn recv(&mut self) -> Result<Option<Frame<'static>>, TransportError> {
        if self.ended {
            return Ok(None);
        }
        match self.incoming.recv() {
            Ok(Some(frame)) if frame.size() > self.max_frame => {
                self.ended = true;
                let (size, limit) = (frame.size(), self.max_frame);
                Err(crate::frame::FrameError::TooLarge { size, limit }.into())
            }
            Ok(Some(frame)) => Ok(Some(frame)),
            Ok(None) | Err(_) => {
                self.ended = true;
                Ok(None)
            }
        }
    }
}
