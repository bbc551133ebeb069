//! Passes over a built graph: what pruning consists of, and the trait by which users add their own.

pub mod eh_frame;
pub(crate) mod imports;
pub mod merge;
pub mod prune;
pub(crate) mod tables;
pub(crate) mod tls;

use crate::graph::LinkGraph;

/// What a plugin returns when the link is to fail.
pub type PluginResult = Result<(), Box<dyn std::error::Error + Send + Sync>>;

/// A user's own passes. Every method does nothing unless it is written.
///
/// ```
/// use jitlink::graph::LinkGraph;
/// use jitlink::pass::{Plugin, PluginResult};
///
/// /// Counts what survives.
/// struct Count<'a>(&'a std::cell::Cell<usize>);
/// impl Plugin for Count<'_> {
///     fn pruned(&mut self, graph: &mut LinkGraph<'_>) -> PluginResult {
///         self.0.set(graph.blocks().iter().filter(|block| block.live).count());
///         Ok(())
///     }
/// }
/// ```
pub trait Plugin {
    /// Every object is in the graph; nothing is dropped yet.
    ///
    /// # Errors
    /// As the plugin likes: the link fails.
    fn built(&mut self, graph: &mut LinkGraph<'_>) -> PluginResult {
        let _ = graph;
        Ok(())
    }

    /// Only what is reached is live; tables are not made yet.
    ///
    /// # Errors
    /// As the plugin likes: the link fails.
    fn pruned(&mut self, graph: &mut LinkGraph<'_>) -> PluginResult {
        let _ = graph;
        Ok(())
    }

    /// Everything that this graph defines has its address.
    ///
    /// # Errors
    /// As the plugin likes: the link fails.
    fn placed(&mut self, graph: &LinkGraph<'_>) -> PluginResult {
        let _ = graph;
        Ok(())
    }

    /// Every byte is written; the memory is not final yet.
    ///
    /// # Errors
    /// As the plugin likes: the link fails.
    fn written(&mut self, graph: &LinkGraph<'_>) -> PluginResult {
        let _ = graph;
        Ok(())
    }
}
