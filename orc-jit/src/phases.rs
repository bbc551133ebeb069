//! The phases of a session, for whoever wants to know where the time goes.
//!
//! **You give** nothing. **You get** a [`tracing`] span for each phase, at level DEBUG, under the target [`TARGET`], with counts and bytes as
//! fields; `orc run --time` and `--trace` are two subscribers. **Not here:** clocks: without a subscriber a phase costs one branch, and
//! nothing is counted.
//!
//! | span | inside | what is done | fields |
//! |---|---|---|---|
//! | `open` | | [`Session::open`](crate::Session::open); what is not `link` is the executor's part: initializers | `dylib` |
//! | `link` | `open` | one batch | `images`: one for each dylib or tracker that got something |
//! | `take` | `link` | an image is looked for in the cache, read, checked, moved to its addresses | `bytes`: of the entry |
//! | `store` | `link` | what was linked is put into the cache, inputs are hashed; its contents were written in `write` | `bytes`: of the entry |
//! | `find` | `link` | files are opened | `files`, `bytes`: of the whole files, read or not |
//! | `gather` | `link` | objects are read, archives are asked | `objects`, `sections`, `symbols`, `relocations` |
//! | `unify` | `link` | names that several define become one | `names`: that yield |
//! | `prune` | `link` | what is reached, call frame information, GOT | `blocks`: that stay |
//! | `place` | `link` | memory is reserved, everything gets its address | `segments`, `bytes` |
//! | `bind` | `link` | names of others are looked up | `names` |
//! | `write` | `link` | bytes are copied and fixed up; protections | `relocations`, `bytes`: with content |
//! | `describe` | `link` | what outlives the inputs is taken out | `names` |
//! | `register` | `link` | the executor learns of the images | `images` |
//! | `run` | | [`Session::call_main`](crate::Session::call_main) | |
//! | `call` | any | a call to an executor in another process | `what`, `bytes`: of its arguments |

use jitlink::LinkGraph;
use tracing::Span;
use tracing::field::Empty;

/// The target of every span of this crate.
pub const TARGET: &str = "orc_jit::phases";

/// A function that begins a phase; its fields are filled in when they are known.
macro_rules! phases {
    ($($function:ident $name:literal ($($field:ident),*);)*) => {
        $(pub(crate) fn $function() -> Span {
            tracing::debug_span!(target: TARGET, $name $(, $field = Empty)*)
        })*
    };
}

phases! {
    open "open" (dylib);
    link "link" (images);
    take "take" (bytes);
    store "store" (bytes);
    find "find" (files, bytes);
    gather "gather" (objects, sections, symbols, relocations);
    unify "unify" (names);
    prune "prune" (blocks);
    place "place" (segments, bytes);
    bind "bind" (names);
    write "write" (relocations, bytes);
    describe "describe" (names);
    register "register" (images);
    run "run" ();
    call "call" (what, bytes);
}

/// Fills in a count, which is not made unless somebody wants it.
pub(crate) fn count(phase: &Span, field: &str, count: impl FnOnce() -> usize) {
    if !phase.is_disabled() {
        phase.record(field, count() as u64);
    }
}

/// Fills in what has been read.
pub(crate) fn gathered<'a, 'f: 'a>(phase: &Span, graphs: impl Iterator<Item = &'a LinkGraph<'f>> + Clone) {
    let all = |field, of: fn(&LinkGraph<'_>) -> usize| count(phase, field, || graphs.clone().map(of).sum());
    all("objects", |graph| graph.objects().len());
    all("sections", |graph| graph.sections().len());
    all("symbols", |graph| graph.symbols().len());
    all("relocations", |graph| graph.edges().len());
}

/// How many of a graph's blocks stay.
pub(crate) fn live_blocks(graph: &LinkGraph<'_>) -> usize {
    graph.blocks().iter().filter(|block| block.live).count()
}

/// How many bytes are copied for a graph, and how many relocations are applied to them.
pub(crate) fn written(phase: &Span, graph: &LinkGraph<'_>) {
    let live = || graph.blocks().iter().filter(|block| block.live);
    count(phase, "bytes", || live().filter_map(|block| block.content.bytes()).map(<[u8]>::len).sum());
    count(phase, "relocations", || graph.edges().iter().filter(|edge| graph.block(edge.block).live).count());
}
