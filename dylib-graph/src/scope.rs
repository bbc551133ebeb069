//! Where a symbol is looked for, and in which order (rules 27, 28, 30).
//!
//! You give the link orders, the program, what was opened with `GLOBAL`, and who asks; you get dylibs, first to be asked first. Not
//! for symbols: whoever has their tables asks the dylibs of the scope in turn.
//!
//! The same order decides which definition is everybody's (rule 30): a weak definition, one of a COMDAT group or a unique one yields to the first
//! dylib in its dylib's [`Scope::Default`] that defines the name too.
//!
//! ```
//! use dylib_graph::DylibGraph;
//! use dylib_graph::scope::{Scope, search_scope};
//! let mut graph = DylibGraph::new();
//! let [main, a, b, plugin] = [graph.add(), graph.add(), graph.add(), graph.add()];
//! graph.set_link_order(main, &[a])?;
//! graph.set_link_order(plugin, &[b, a])?;
//! let scope = |scope| search_scope(&graph, scope, Some(main), &[], Some(plugin));
//! assert_eq!(scope(Scope::Handle(plugin))?, [plugin, b, a]);
//! assert_eq!(scope(Scope::Default)?, [main, a, plugin, b]);
//! assert_eq!(scope(Scope::Next)?, [b]);
//! # Ok::<(), dylib_graph::GraphError>(())
//! ```

use crate::error::GraphError;
use crate::graph::{DylibGraph, DylibId};
use crate::order::Walker;

/// Where a lookup starts (dlsym(3)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// The dylib, then what it links against, breadth first.
    Handle(DylibId),
    /// `RTLD_DEFAULT`: the program and what it reaches, then what was opened with `GLOBAL` and reaches, then what the dylib that asks reaches.
    Default,
    /// `RTLD_NEXT`: what follows the dylib that asks in the default order; the whole default order for somebody who is no dylib.
    Next,
}

/// The dylibs of `scope`, in the order in which they are searched, each once. `global` is in the order in which the dylibs became global.
///
/// Near-linear in what the scope holds, however many dylibs are global.
///
/// # Errors
/// [`GraphError::Unknown`] when one of the dylibs that are named is not there.
pub fn search_scope(
    graph: &DylibGraph,
    scope: Scope,
    program: Option<DylibId>,
    global: &[DylibId],
    asking: Option<DylibId>,
) -> Result<Vec<DylibId>, GraphError> {
    if let Scope::Handle(dylib) = scope {
        return graph.search_order(dylib);
    }
    let roots = program.into_iter().chain(global.iter().copied()).chain(asking);
    let mut order = Walker::new().search_orders(graph, roots)?;
    if scope == Scope::Next
        && let Some(after) = order.iter().position(|&dylib| Some(dylib) == asking)
    {
        order.drain(..=after);
    }
    Ok(order)
}
