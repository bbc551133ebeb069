//! Calls between a JIT's controller and its executor, over any transport.
//!
//! You give something that carries frames ([`transport`]), and functions under tags ([`Registry`]); you get calls in both directions,
//! many at once, nested to any depth, each on the thread where it belongs ([`Peer`]). Without a transport the same [`Registry`] is
//! called directly, in process, and lends the caller's own bytes to the handler. It is **not** an RPC framework: there are no
//! interface files, no streams, no discovery, and the bytes are those of LLVM's `SimpleRemoteEPC`, whose tools can be spoken with.
//!
//! ```
//! use std::sync::Arc;
//! use dispatch::{Connect, Registry, Setup, Tag, call_typed, transport::channel};
//!
//! const ADD: Tag = Tag(1);
//! let services = Arc::new(Registry::new());
//! services.serve(ADD, |(a, b): (u64, u64)| a + b)?;
//!
//! // In process: a function call.
//! assert_eq!(call_typed::<_, u64>(&services, ADD, &(20u64, 22u64))?, 42);
//!
//! // Over a transport: the same call.
//! let (here, there) = channel::pair();
//! let executor = Connect::executor(Setup::default()).handlers(services).over(there)?;
//! let peer = Connect::controller().over(here)?;
//! assert_eq!(call_typed::<_, u64>(&peer, ADD, &(20u64, 22u64))?, 42);
//! # drop(executor);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Layers
//! Each is held separately; the higher ones are made of the lower.
//!
//! | module | gives | without |
//! |---|---|---|
//! | [`packed`] | values as bytes | – |
//! | [`frame`] | messages as bytes, with limits | – |
//! | [`Endpoint`] | the protocol: what may come, whose answer it is | I/O, threads, clock |
//! | [`transport`], [`layer`] | frames from here to there: over channels, pipes, Unix sockets, TCP, TLS; traced, reordered, broken, recorded | knowledge of calls |
//! | [`dispatcher`] | threads for the other side's calls | – |
//! | [`Connect`], [`Peer`] | all of it together | – |
//! | [`conformance`] | the proof that a transport of yours carries it | – |
//!
//! # Bounds
//! The other side may be hostile. What it can make this side keep has [`Limits`]: the size of frames of each kind, the number of calls
//! that wait and the bytes of their arguments, the depth of nesting; counts are checked against the bytes that remain, and nothing is
//! allocated on a claim. Time has limits where one sets them: for calls ([`Connect::deadline`]), for silence ([`Connect::heartbeat`]),
//! for introductions ([`Connect::expect_setup`], [`Connect::setup_timeout`]). Whoever breaks the protocol is left, and every call that
//! waits fails once, with the reason. Who may come in is the transport's to say: [`transport::unix`] asks the kernel, `transport::tls`
//! (feature `tls`) demands certificates or a token. Deliberately absent: force. A handler that has begun may ask whether anybody still
//! waits for it ([`cancelled`]), but nobody stops it.
#![forbid(unsafe_code)]

mod call;
pub mod conformance;
mod connect;
pub mod dispatcher;
mod endpoint;
mod error;
pub mod frame;
pub mod layer;
pub mod packed;
mod peer;
mod registry;
mod sync;
pub mod transport;

pub use call::{Caller, Handler, Reply, Tag, call_expected, call_typed};
pub use connect::{Cause, Connect, ConnectError, Setup};
pub use endpoint::{Endpoint, Event, FIRST_SUBJECT, Features, ProtocolError, Refusal, Role};
pub use error::{CallError, Disconnect, PackError, TagInUse};
pub use frame::Limits;
pub use peer::{CallRecord, CallState, CancelToken, Peer, WeakPeer, cancelled};
pub use registry::Registry;
