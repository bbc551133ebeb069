//! `--time` and `--trace`: two who listen to the phases that a session tells of ([`orc_jit::phases`]), and the command's own.
//!
//! Without either option nobody listens, and no phase looks at a clock.

mod chrome;
mod ending;
mod times;

use super::plan::Plan;
use super::talk::Talk;
use chrome::Chrome;
use orc_jit::diagnose::Report;
use orc_jit::phases::TARGET;
use std::time::Instant;
use times::Times;
use tracing::{Metadata, Span};
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

/// Begins to listen, if the plan asks for it. `began`: when the process did.
pub(crate) fn listen(plan: &Plan, talk: &Talk, began: Instant) -> Result<(), Box<Report>> {
    if !plan.time && plan.trace.is_none() {
        return Ok(());
    }
    let times = plan.time.then(|| Times::new(*talk, began));
    let trace = plan.trace.as_deref().map(|path| Chrome::create(path, began)).transpose()?;
    // There is one plan in a process, and nobody else who listens.
    let _ = tracing_subscriber::registry().with(times).with(trace).try_init();
    Ok(())
}

/// What both listen to.
fn is_phase(metadata: &Metadata<'_>) -> bool {
    metadata.is_span() && metadata.target() == TARGET
}
