//! `--trace FILE`: phases as events of Chrome's trace format, for Perfetto and `chrome://tracing`.
//!
//! The file is an array of events whose closing bracket may be missing ("Trace Event Format" of the Chromium project,
//! "JSON Array Format"). Each event is written when it happens: the file of
//! a program that ends the process, or dies, has everything up to there. It is opened for each event: a program may close every
//! descriptor that it finds, and use the numbers anew.

use orc_jit::diagnose::Report;
use serde_json::{Map, Value, json};
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Instant;
use tracing::Subscriber;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

/// Writes events to a file.
pub(super) struct Chrome {
    path: PathBuf,
    began: Instant,
}

/// What an event is told with.
#[derive(Default)]
struct Arguments(Map<String, Value>);

impl Visit for Arguments {
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.0.insert(field.name().into(), value.into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().into(), value.into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.0.insert(field.name().into(), format!("{value:?}").into());
    }
}

impl Chrome {
    /// Makes the file, empty but for the opening bracket.
    pub(super) fn create(path: &Path, began: Instant) -> Result<Self, Box<Report>> {
        let failed = |error| Box::new(Report::error(format!("cannot write the trace {}: {error}", path.display())));
        std::fs::write(path, "[\n").map_err(failed)?;
        // The program may change the current directory.
        Ok(Self { path: path.canonicalize().map_err(failed)?, began })
    }

    /// `B` begins a phase, `E` ends it.
    fn write(&self, what: &str, name: &str, arguments: Map<String, Value>) {
        let event = json!({
            "name": name,
            "cat": "orc",
            "ph": what,
            "ts": self.began.elapsed().as_nanos() as f64 / 1e3,
            "pid": std::process::id(),
            "tid": rustix::thread::gettid().as_raw_nonzero().get(),
            "args": arguments,
        });
        // One write for each event: those of threads and forked children do not mix. A disk that is full now may not be later.
        if let Ok(mut file) = OpenOptions::new().append(true).open(&self.path) {
            let _ = file.write_all(format!("{event},\n").as_bytes());
        }
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Chrome {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if let Some(span) = context.span(id) {
            let mut arguments = Arguments::default();
            attributes.record(&mut arguments);
            span.extensions_mut().insert(arguments);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        if let Some(arguments) = span.extensions_mut().get_mut::<Arguments>() {
            values.record(arguments);
        }
    }

    fn on_enter(&self, id: &Id, context: Context<'_, S>) {
        if let Some(span) = context.span(id) {
            self.write("B", span.name(), Map::new());
        }
    }

    fn on_exit(&self, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let arguments = span.extensions_mut().get_mut::<Arguments>().map(std::mem::take);
        self.write("E", span.name(), arguments.unwrap_or_default().0);
    }
}
