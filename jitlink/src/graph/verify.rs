//! What must hold in every graph, whoever built it.

/// A graph that breaks its own rules.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct GraphError(pub String);
