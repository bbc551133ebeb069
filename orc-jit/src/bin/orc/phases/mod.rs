//! `--time` and `--trace`: two who listen to the phases that a session tells of ([`orc_jit::phases`]), and the command's own.
//!
//! Without either option nobody listens to them, and no phase looks at a clock.

mod chrome;
mod ending;
mod times;

use super::plan::Plan;
use super::talk::Talk;
use super::told;
use chrome::Chrome;
use orc_jit::diagnose::Report;
use orc_jit::phases::TARGET;
use std::time::Instant;
use times::Times;
use tracing::{Metadata, Span};
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// The inputs' first bytes are looked at, libraries are opened.
pub(crate) fn inputs() -> Span {
    tracing::debug_span!(target: TARGET, "inputs")
}

/// Handlers and finalizers run.
pub(crate) fn finalize() -> Span {
    tracing::debug_span!(target: TARGET, "finalize")
}

/// Begins to listen: to what is told, and to phases if the plan asks for it. `began`: when the process did.
pub(crate) fn listen(plan: &Plan, talk: &Talk, began: Instant) -> Result<(), Box<Report>> {
    let times = plan.time.then(|| Times::new(*talk, began));
    let trace = plan.trace.as_deref().map(|path| Chrome::create(path, began)).transpose()?;
    let times = times.map(|times| times.with_filter(filter_fn(is_phase)));
    let trace = trace.map(|trace| trace.with_filter(filter_fn(is_phase)));
    // There is one plan in a process, and nobody else who listens.
    let _ = tracing_subscriber::registry().with(told::layer(talk)).with(times).with(trace).try_init();
    Ok(())
}

/// What both listen to.
fn is_phase(metadata: &Metadata<'_>) -> bool {
    metadata.is_span() && metadata.target() == TARGET
}
