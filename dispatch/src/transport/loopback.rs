//! A connection to oneself: what is sent comes back. A peer over it calls its own handlers, through every step that a real
//! connection has; for tests, benches of the protocol alone, and trying a service out.

use crossbeam::channel::unbounded;

use super::channel::Channel;

/// One end, connected to itself.
///
/// ```
/// use std::sync::Arc;
/// use dispatch::{Connect, Registry, Tag, call_typed, transport::loopback};
///
/// let registry = Arc::new(Registry::new());
/// registry.serve(Tag(1), |text: String| text.len() as u64)?;
/// let peer = Connect::executor(Default::default()).handlers(registry).over(loopback::loopback())?;
/// assert_eq!(call_typed::<_, u64>(&peer, Tag(1), "there and back")?, 14);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn loopback() -> Channel {
    let (outgoing, incoming) = unbounded();
    Channel { own: outgoing.clone(), outgoing, incoming }
}
