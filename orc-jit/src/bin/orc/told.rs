//! What the libraries tell while they work: warnings to everybody, the rest to those who asked (`-v`). **Not here:** what ends the work, which is an error of who
//! was called.

use super::talk::Talk;
use std::fmt::{self, Write as _};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{Filtered, LevelFilter};
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

/// Says what it hears of.
pub(crate) struct Told(Talk);

/// What is told from now on, for a registry that others hear from, too.
pub(crate) fn layer<S: Subscriber + for<'a> LookupSpan<'a>>(talk: &Talk) -> Filtered<Told, LevelFilter, S> {
    let level = if talk.is_asked(1) { LevelFilter::INFO } else { LevelFilter::WARN };
    Told(*talk).with_filter(level)
}

impl<S: Subscriber> Layer<S> for Told {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut text = Text::default();
        event.record(&mut text);
        let text = text.0;
        if *event.metadata().level() == Level::WARN {
            self.0.warn(&text);
        } else {
            self.0.progress(1, &text);
        }
    }
}

/// The message of an event, and behind it its fields: `what happened: error=...`.
#[derive(Default)]
struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // A string takes everything.
        let _ = match field.name() {
            "message" => {
                let fields = std::mem::take(&mut self.0);
                write!(self.0, "{value:?}{fields}")
            }
            name => write!(self.0, ": {name}={value:?}"),
        };
    }
}
