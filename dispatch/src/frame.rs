//! Frames: what travels. A header of 32 bytes, then the payload; the layout is that of LLVM's `SimpleRemoteEPC`.
//!
//! | bytes | field |
//! |---|---|
//! | 0..8 | size of the frame, header included |
//! | 8..16 | opcode: Setup 0, Hangup 1, Result 2, Call 3, Notice 4 (only between peers that agreed on it) |
//! | 16..24 | sequence number: a result repeats that of its call; 0 for Setup, Hangup and Notice |
//! | 24..32 | tag: what is called, or what a notice is about; in a result 0, or 1 where the payload is an error text (only between peers that agreed on it); 0 for Setup and Hangup |
//!
//! All are little-endian `u64`. A header is checked against the [`Limits`] before anything is allocated for its payload.

use std::borrow::Cow;
use std::fmt;

use crate::call::Tag;

/// The size of a frame's header in bytes.
pub const HEADER_SIZE: usize = 32;

/// What one side accepts from the other, and keeps to itself. Every bound is on the memory or stack that a peer can make us use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The largest frame, header included, in bytes. Default: 1 GiB.
    pub max_frame: u64,
    /// How many calls may wait for an answer, in each direction. Default: 65,536.
    pub max_pending: usize,
    /// How deep calls may nest on one thread (a handler's call, whose handler calls back, …). Default: 1,000.
    pub max_depth: usize,
    /// The bytes of arguments that all calls of the other side without an answer may have together. Default: 4 GiB.
    pub max_held: u64,
    /// The largest Setup or Hangup frame, header included, in bytes. Default: 4 MiB.
    pub max_setup: u64,
    /// The largest notice, header included, in bytes. Notices are not kept, so their number needs no limit. Default: 4 MiB.
    pub max_notice: u64,
}

impl Limits {
    /// The largest frame of this kind, header included, in bytes.
    pub fn largest(&self, opcode: Opcode) -> u64 {
        match opcode {
            Opcode::Setup | Opcode::Hangup => self.max_frame.min(self.max_setup),
            Opcode::Notice => self.max_frame.min(self.max_notice),
            Opcode::Call | Opcode::Result => self.max_frame,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            max_frame: 1 << 30,
            max_pending: 65_536,
            max_depth: 1_000,
            max_held: 4 << 30,
            max_setup: 4 << 20,
            max_notice: 4 << 20,
        }
    }
}

/// What a frame is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Opcode {
    /// The first frame in each direction: who I am and what I can do.
    Setup = 0,
    /// The last frame: why I leave.
    Hangup = 1,
    /// The answer to a call.
    Result = 2,
    /// A call of a handler or wrapper function.
    Call = 3,
    /// A message that is not answered.
    Notice = 4,
}

impl Opcode {
    /// The opcode with this number on the wire.
    pub fn from_wire(value: u64) -> Option<Self> {
        [Opcode::Setup, Opcode::Hangup, Opcode::Result, Opcode::Call, Opcode::Notice]
            .into_iter()
            .find(|&opcode| opcode as u64 == value)
    }
}

/// Tells the calls of one direction apart; prints as `call-7`.
///
/// The caller chooses it and the answer repeats it, so its halves are the caller's own: the lower one numbers the call, the upper one
/// names the call *of the other side* on whose behalf this one is made (0: none). That is how a nested call finds the thread that
/// waits for its parent. A peer that knows nothing of this repeats the number and is served all the same.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Seq(pub u64);

impl Seq {
    /// Setup, Hangup and Notice bear no number.
    pub const NONE: Seq = Seq(0);

    /// The sequence number of call `number`, made while serving the other side's call `parent` (0: none).
    pub fn new(number: u32, parent: u32) -> Self {
        Seq(u64::from(parent) << 32 | u64::from(number))
    }

    /// The call's own number.
    pub fn number(self) -> u32 {
        self.0 as u32
    }

    /// The number of the call on whose behalf this one is made, 0 if none.
    pub fn parent(self) -> u32 {
        (self.0 >> 32) as u32
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "call-{}", self.number())?;
        match self.parent() {
            0 => Ok(()),
            parent => write!(f, "(in call-{parent})"),
        }
    }
}

impl fmt::Debug for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// One message. The payload is borrowed on the way out and owned on the way in.
#[derive(Clone, PartialEq, Eq)]
pub struct Frame<'a> {
    /// What it is for.
    pub opcode: Opcode,
    /// Which call it belongs to.
    pub seq: Seq,
    /// What is called.
    pub tag: Tag,
    /// Arguments, result, or description.
    pub payload: Cow<'a, [u8]>,
}

impl<'a> Frame<'a> {
    /// A frame of these parts.
    pub fn new(opcode: Opcode, seq: Seq, tag: Tag, payload: impl Into<Cow<'a, [u8]>>) -> Self {
        Frame { opcode, seq, tag, payload: payload.into() }
    }

    /// The size on the wire, header included.
    pub fn size(&self) -> u64 {
        frame_size(self.payload.len())
    }

    /// The header that announces this frame.
    pub fn header(&self) -> Header {
        Header { size: self.size(), opcode: self.opcode, seq: self.seq, tag: self.tag }
    }

    /// The frame with a payload of its own; copies it if it is borrowed.
    pub fn into_owned(self) -> Frame<'static> {
        Frame { payload: Cow::Owned(self.payload.into_owned()), ..self }
    }

    /// Header and payload in one piece, for transports that carry whole messages.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER_SIZE + self.payload.len());
        bytes.extend_from_slice(&self.header().encode());
        bytes.extend_from_slice(&self.payload);
        bytes
    }

    /// The frame that `bytes` hold, all of them; the payload is borrowed.
    ///
    /// # Errors
    /// The header is wrong or over the limit, or announces another size than that of `bytes`.
    pub fn from_bytes(bytes: &'a [u8], limits: &Limits) -> Result<Self, FrameError> {
        let truncated = |size| FrameError::Truncated { got: bytes.len() as u64, size };
        let (header, payload) = bytes.split_first_chunk().ok_or(truncated(HEADER_SIZE as u64))?;
        let header = Header::decode(header, limits)?;
        if header.size != bytes.len() as u64 {
            return Err(truncated(header.size));
        }
        Ok(header.with_payload(payload))
    }
}

impl fmt::Debug for Frame<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Frame { opcode, seq, tag, payload } = self;
        match opcode {
            Opcode::Setup | Opcode::Hangup => write!(f, "{opcode:?} {} bytes", payload.len()),
            Opcode::Result if tag.0 == 0 => write!(f, "Result {seq} {} bytes", payload.len()),
            Opcode::Notice => write!(f, "Notice {tag} {} bytes", payload.len()),
            _ => write!(f, "{opcode:?} {seq} {tag} {} bytes", payload.len()),
        }
    }
}

pub(crate) fn frame_size(payload: usize) -> u64 {
    HEADER_SIZE as u64 + payload as u64
}

/// The first 32 bytes of a frame, checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    size: u64,
    opcode: Opcode,
    seq: Seq,
    tag: Tag,
}

impl Header {
    /// Reads a header.
    ///
    /// # Errors
    /// The size is below 32 or over the limit, or the opcode is unknown.
    pub fn decode(bytes: &[u8; HEADER_SIZE], limits: &Limits) -> Result<Self, FrameError> {
        let [size, opcode, seq, tag] = std::array::from_fn(|field| {
            let mut word = [0; 8];
            word.copy_from_slice(&bytes[field * 8..][..8]);
            u64::from_le_bytes(word)
        });
        if size < HEADER_SIZE as u64 {
            return Err(FrameError::TooSmall { size });
        }
        // What is no frame at all says so by its size, more often than by its opcode.
        let known = Opcode::from_wire(opcode);
        let limit = known.map_or(limits.max_frame, |opcode| limits.largest(opcode));
        // A payload that the address space cannot hold is over the limit too, whatever the limit says.
        if size > limit || usize::try_from(size).is_err() {
            return Err(FrameError::TooLarge { size, limit });
        }
        let opcode = known.ok_or(FrameError::UnknownOpcode { opcode })?;
        Ok(Header { size, opcode, seq: Seq(seq), tag: Tag(tag) })
    }

    /// The bytes of this header.
    pub fn encode(&self) -> [u8; HEADER_SIZE] {
        let mut bytes = [0; HEADER_SIZE];
        let words = [self.size, self.opcode as u64, self.seq.0, self.tag.0];
        for (bytes, word) in bytes.chunks_exact_mut(8).zip(words) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    /// How many bytes follow the header; fits in memory, by the check of [`decode`](Header::decode).
    pub fn payload_size(&self) -> usize {
        (self.size - HEADER_SIZE as u64) as usize
    }

    /// The frame that this header announces. The payload must have the size announced.
    pub fn with_payload<'a>(&self, payload: impl Into<Cow<'a, [u8]>>) -> Frame<'a> {
        let payload = payload.into();
        debug_assert_eq!(payload.len(), self.payload_size());
        Frame { opcode: self.opcode, seq: self.seq, tag: self.tag, payload }
    }
}

/// Bytes that are no frame. There is no way to find the next frame behind them: the connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// A size that cannot even hold the header.
    #[error("a frame announces a size of {size} bytes, less than its own header of 32; is this another protocol?")]
    TooSmall {
        /// The size announced.
        size: u64,
    },
    /// A size over the limit; nothing was allocated for it.
    #[error(
        "a frame announces {size} bytes, more than the {limit} allowed; is this another protocol, or is the limit too low?"
    )]
    TooLarge {
        /// The size announced.
        size: u64,
        /// The limit.
        limit: u64,
    },
    /// An opcode that this version does not know.
    #[error("a frame bears the unknown opcode {opcode:#x}; is this another protocol, or a newer version of it?")]
    UnknownOpcode {
        /// The opcode.
        opcode: u64,
    },
    /// The bytes end inside a frame, or go on behind it.
    #[error("a frame of {size} bytes came as {got} bytes")]
    Truncated {
        /// How many bytes there are.
        got: u64,
        /// How many there should be.
        size: u64,
    },
}
