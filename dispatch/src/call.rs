//! A call as both ends see it: a [`Tag`], bytes in, a [`Reply`] out.
//!
//! [`Caller`] is the side that asks, [`Handler`] the side that answers; what lies between them (nothing, a channel, a socket) is not
//! theirs to know.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use smallvec::SmallVec;

use crate::error::{CallError, PackError};
use crate::packed::{self, Pack, Reader, Unpack};

/// Names what is called. Up from the executor it is a number that the controller gave a handler; down to it, the address of a wrapper
/// function. Only what is registered under a tag can be reached.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tag(pub u64);

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tag-{:#x}", self.0)
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Pack for Tag {
    fn pack(&self, out: &mut Vec<u8>) {
        self.0.pack(out);
    }
}

impl<'a> Unpack<'a> for Tag {
    const MIN_SIZE: usize = 8;
    fn unpack(reader: &mut Reader<'a>) -> Result<Self, PackError> {
        u64::unpack(reader).map(Tag)
    }
}

/// Who can be called: a [`Registry`](crate::Registry) directly, or a [`Peer`](crate::Peer) over a transport.
pub trait Caller: Send + Sync {
    /// Calls `tag` with `args` and waits for the answer.
    ///
    /// The answer may itself be an error text ([`Reply::as_error`]): then the handler ran, or would have, and says why not.
    ///
    /// # Errors
    /// The call could not be made or its answer did not come: see [`CallError`].
    fn call(&self, tag: Tag, args: &[u8]) -> Result<Reply, CallError>;
}

impl<C: Caller + ?Sized> Caller for Arc<C> {
    fn call(&self, tag: Tag, args: &[u8]) -> Result<Reply, CallError> {
        (**self).call(tag, args)
    }
}

impl<C: Caller + ?Sized> Caller for &C {
    fn call(&self, tag: Tag, args: &[u8]) -> Result<Reply, CallError> {
        (**self).call(tag, args)
    }
}

/// Answers the calls of one tag. Closures are handlers.
pub trait Handler: Send + Sync {
    /// Does what is asked. `args` are valid for the duration of the call; copy what must stay.
    fn handle(&self, args: &[u8]) -> Reply;
}

impl<F: Fn(&[u8]) -> Reply + Send + Sync> Handler for F {
    fn handle(&self, args: &[u8]) -> Reply {
        self(args)
    }
}

/// What a handler answers: bytes (up to eight without an allocation), or an error text that stands outside of the result's type
/// ("out of band").
#[derive(Clone, PartialEq, Eq)]
pub struct Reply(Repr);

#[derive(Clone, PartialEq, Eq)]
enum Repr {
    Bytes(SmallVec<[u8; 8]>),
    Error(String),
}

impl Reply {
    /// No bytes: the answer of a handler that returns nothing.
    pub fn empty() -> Self {
        Reply(Repr::Bytes(SmallVec::new()))
    }

    /// A copy of `bytes`.
    pub fn copy_from(bytes: &[u8]) -> Self {
        Reply(Repr::Bytes(SmallVec::from_slice(bytes)))
    }

    /// The payload of a result frame, without a copy if it is owned.
    pub(crate) fn from_payload(payload: Cow<'_, [u8]>) -> Self {
        match payload {
            Cow::Borrowed(bytes) => Reply::copy_from(bytes),
            Cow::Owned(bytes) => bytes.into(),
        }
    }

    /// The packed bytes of `value`.
    pub fn packed<T: Pack + ?Sized>(value: &T) -> Self {
        packed::to_bytes(value).into()
    }

    /// An error in place of a result.
    pub fn error(text: impl Into<String>) -> Self {
        Reply(Repr::Error(text.into()))
    }

    /// The bytes, or the error text.
    ///
    /// # Errors
    /// The text that the handler gave to [`Reply::error`].
    pub fn bytes(&self) -> Result<&[u8], &str> {
        match &self.0 {
            Repr::Bytes(bytes) => Ok(bytes),
            Repr::Error(text) => Err(text),
        }
    }

    /// The error text, if it is one.
    pub fn as_error(&self) -> Option<&str> {
        self.bytes().err()
    }

    /// The bytes without a copy where they are on the heap already, or the error text.
    ///
    /// # Errors
    /// The text that the handler gave to [`Reply::error`].
    pub fn into_bytes(self) -> Result<Vec<u8>, String> {
        match self.0 {
            Repr::Bytes(bytes) => Ok(bytes.into_vec()),
            Repr::Error(text) => Err(text),
        }
    }
}

/// Takes the bytes over without a copy.
impl From<Vec<u8>> for Reply {
    fn from(bytes: Vec<u8>) -> Self {
        Reply(Repr::Bytes(SmallVec::from_vec(bytes)))
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Repr::Bytes(bytes) => write!(f, "Reply({} bytes)", bytes.len()),
            Repr::Error(text) => write!(f, "Reply(error {text:?})"),
        }
    }
}

/// Calls `tag` with packed arguments and unpacks the answer: `R` is the type that the handler's closure returns.
///
/// ```
/// use dispatch::{Registry, Tag, call_typed};
///
/// let registry = Registry::new();
/// registry.serve(Tag(1), |(a, b): (u64, u64)| a + b)?;
/// registry.serve(Tag(2), |name: String| -> Result<u64, String> { Err(format!("no symbol {name}")) })?;
///
/// assert_eq!(call_typed::<_, u64>(&registry, Tag(1), &(40u64, 2u64))?, 42);
/// // A function that may fail says so in its type, on both sides.
/// let answer = call_typed::<_, Result<u64, String>>(&registry, Tag(2), "mian")?;
/// assert_eq!(answer, Err("no symbol mian".to_owned()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// The call failed, the handler answered out of band ([`CallError::Failed`]), or the answer is no `R`.
pub fn call_typed<A, R>(caller: &dyn Caller, tag: Tag, args: &A) -> Result<R, CallError>
where
    A: Pack + ?Sized,
    R: for<'a> Unpack<'a>,
{
    let reply = caller.call(tag, &packed::to_bytes(args))?;
    let bytes = reply.bytes().map_err(|text| CallError::Failed(text.to_owned()))?;
    packed::from_bytes(bytes).map_err(|error| CallError::BadReply { tag, error })
}

/// [`call_typed`] for a handler that returns `Result<R, String>`: its error becomes [`CallError::Failed`].
///
/// # Errors
/// As [`call_typed`], and what the handler's function itself reports.
pub fn call_expected<A, R>(caller: &dyn Caller, tag: Tag, args: &A) -> Result<R, CallError>
where
    A: Pack + ?Sized,
    R: for<'a> Unpack<'a>,
{
    call_typed::<A, Result<R, String>>(caller, tag, args)?.map_err(CallError::Failed)
}
