//! What goes against the protocol: what this side refuses to begin, and what the other side must not do.

use crate::call::Tag;
use crate::error::PackError;
use crate::frame::{Opcode, Seq};

/// A call or a notice that was not begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Before Setup, or after the end.
    #[error("the connection is not open")]
    NotOpen,
    /// The frame would be over the limit.
    #[error("a frame of {size} bytes exceeds the largest allowed, {limit} bytes")]
    TooLarge {
        /// The size of the frame, header included.
        size: u64,
        /// The limit.
        limit: u64,
    },
    /// The other side takes no notices, as far as it has said yet.
    #[error("the other side takes no notices")]
    NoNotices,
    /// Too many calls wait already.
    #[error("{limit} calls are waiting for an answer already")]
    TooManyPending {
        /// The limit.
        limit: usize,
    },
}

/// What the other side must not do. Each ends the connection.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProtocolError {
    /// The first frame is not Setup.
    #[error("it began with {opcode:?} instead of Setup")]
    NoSetup {
        /// What came.
        opcode: Opcode,
    },
    /// A Setup that is not the first frame.
    #[error("it sent Setup again, or late")]
    LateSetup,
    /// A Setup with a sequence number or a tag.
    #[error("it sent a Setup that bears {seq} and {tag} instead of zeros")]
    NumberedSetup {
        /// The sequence number.
        seq: Seq,
        /// The tag.
        tag: Tag,
    },
    /// A result for a call that was never made, or is answered already.
    #[error("it answered {seq}, which is not waiting for an answer")]
    UnknownResult {
        /// The sequence number.
        seq: Seq,
    },
    /// A result with a tag that was not agreed on.
    #[error("its answer to {seq} bears the unexpected {tag}")]
    TaggedResult {
        /// The sequence number.
        seq: Seq,
        /// The tag.
        tag: Tag,
    },
    /// A call with the sequence number of one that is being served.
    #[error("it made {seq} twice")]
    RepeatedCall {
        /// The sequence number.
        seq: Seq,
    },
    /// More calls at once than allowed.
    #[error("it made more than {limit} calls at once")]
    TooManyCalls {
        /// The limit.
        limit: usize,
    },
    /// Calls with more bytes at once than allowed.
    #[error("it made calls with more than {limit} bytes at once")]
    TooManyBytes {
        /// The limit.
        limit: u64,
    },
    /// A frame that is larger than one of its kind may be.
    #[error("it sent a {opcode:?} of {size} bytes, more than the {limit} allowed")]
    TooLarge {
        /// What came.
        opcode: Opcode,
        /// The size of the frame, header included.
        size: u64,
        /// The limit.
        limit: u64,
    },
    /// A notice that was not agreed on.
    #[error("it sent a notice of {subject}, which was not agreed on")]
    UnwantedNotice {
        /// What it is about.
        subject: Tag,
    },
    /// A notice with a sequence number.
    #[error("its notice of {subject} bears {seq}; nobody waits for an answer to a notice")]
    NumberedNotice {
        /// What it is about.
        subject: Tag,
        /// The sequence number.
        seq: Seq,
    },
    /// A notice of the protocol's own that cannot be read.
    #[error("its notice of {subject} cannot be read: {error}")]
    BrokenNotice {
        /// What it is about.
        subject: Tag,
        /// What is wrong with the bytes.
        error: PackError,
    },
    /// A hangup whose reason cannot be read.
    #[error("it hung up with a reason that cannot be read: {0}")]
    Hangup(PackError),
    /// A frame behind the end.
    #[error("it sent a frame after the end")]
    Closed,
}
