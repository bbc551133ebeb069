//! Everything that can go wrong, in the words of the one who made the call.

use std::sync::Arc;

use crate::call::Tag;

/// Bytes that are not the packed value they should be. Offsets count from the first byte of the arguments or the result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PackError {
    /// The bytes end inside a value.
    #[error("the packed bytes end at offset {offset}: {needed} more needed, {remaining} left")]
    Truncated {
        /// Where the value begins.
        offset: usize,
        /// How many bytes it needs.
        needed: usize,
        /// How many there are.
        remaining: usize,
    },
    /// A sequence claims more elements than can fit; refused before anything was allocated.
    #[error(
        "the count at offset {offset} claims {count} elements, which cannot fit in the {remaining} bytes that remain"
    )]
    Count {
        /// Where the count stands.
        offset: usize,
        /// What it says.
        count: u64,
        /// How many bytes follow it.
        remaining: usize,
    },
    /// A boolean that is neither 0 nor 1.
    #[error("the byte at offset {offset} should be a boolean (0 or 1) but is {value:#04x}")]
    Bool {
        /// Where the byte stands.
        offset: usize,
        /// What it is.
        value: u8,
    },
    /// Text that is not UTF-8.
    #[error("the text is not valid UTF-8 at offset {offset}")]
    Utf8 {
        /// The first bad byte.
        offset: usize,
    },
    /// Bytes behind the value: the two sides disagree on its type.
    #[error(
        "{extra} bytes are left over behind the packed value, which ends at offset {offset}; do both sides mean the same type?"
    )]
    Trailing {
        /// Where the value ends.
        offset: usize,
        /// How many bytes follow.
        extra: usize,
    },
    /// Sequences nested deeper than the limit.
    #[error("the sequence at offset {offset} is nested more than {limit} deep")]
    Depth {
        /// Where the sequence begins.
        offset: usize,
        /// The limit.
        limit: u32,
    },
}

/// A call that gave no usable answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// Nobody serves this tag.
    #[error("no handler is registered for {0}")]
    UnknownTag(Tag),
    /// The handler ran and answered with an error text in place of a result.
    #[error("{0}")]
    Failed(String),
    /// The handler's answer is not the type that was asked for.
    #[error("the answer to {tag} could not be read: {error}")]
    BadReply {
        /// What was called.
        tag: Tag,
        /// What is wrong with the bytes.
        error: PackError,
    },
    /// The arguments, or what a notice says, are larger than the largest such frame allowed. The connection goes on.
    #[error("a message to {tag} with {size} bytes exceeds the largest frame allowed, {limit} bytes")]
    TooLarge {
        /// What was called.
        tag: Tag,
        /// The size of the frame, header included.
        size: u64,
        /// The limit.
        limit: u64,
    },
    /// As many calls as allowed wait for their answers already. The connection goes on.
    #[error("{limit} calls are waiting for an answer already; no more are allowed")]
    TooManyPending {
        /// The limit.
        limit: usize,
    },
    /// It was given up: its [`CancelToken`](crate::CancelToken) said so, or it was made on behalf of a call of the other side that the
    /// other side has given up. The connection goes on.
    #[error("the call to {0} was cancelled")]
    Cancelled(Tag),
    /// No answer came in time. The connection goes on; a late answer is dropped.
    #[error("no answer to {0} came in time")]
    TimedOut(Tag),
    /// The other side takes no notices of this subject, for it takes none, or has not said yet that it does.
    #[error("the other side takes no notices; a notice of {0} cannot be sent")]
    NoNotices(Tag),
    /// Notices of this subject are the protocol's own.
    #[error("notices of {0} are the protocol's own; subjects begin at tag-0x100")]
    ReservedSubject(Tag),
    /// The connection is over; whether the other side did the work is not known.
    #[error("{0}")]
    Disconnected(Arc<Disconnect>),
}

/// Why a connection ended, told to every call that was waiting and to every later one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the connection to {peer} is closed: {reason}")]
pub struct Disconnect {
    /// The other side, as its transport names it.
    pub peer: String,
    /// What ended it.
    pub reason: String,
}

/// A tag that has a handler already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} has a handler already; remove it first")]
pub struct TagInUse(pub Tag);
