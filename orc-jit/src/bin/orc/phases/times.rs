//! `--time`: where the time of a run went, phase by phase, with bytes and counts.
//!
//! A lap (find inputs, initialize, run, finalize) is told when it ends, before it what was linked meanwhile; a lap that the program's `exit` cut
//! short is told by the process's end. Times are from the clock on the wall, and a phase's has in it what is nested in it.

use super::super::talk::{Talk, TimeLine};
use super::ending;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};
use tracing::Subscriber;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::{LookupSpan, SpanRef};

/// Sums phases up, and tells them.
pub(super) struct Times(Arc<Clock>);

/// What the end of the process needs, too.
struct Clock {
    talk: Talk,
    began: Instant,
    /// A forked child that exits has nothing to tell.
    process: u32,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The command has come to its first lap.
    started: bool,
    /// Laps that have not ended, the outer ones first.
    laps: Vec<Lap>,
    /// What was linked since the last lap was told.
    sums: Vec<Sum>,
}

struct Lap {
    name: &'static str,
    began: Instant,
    /// How much of it was linking.
    linking: Duration,
}

/// A phase of linking, all its turns together.
struct Sum {
    name: &'static str,
    took: Duration,
    turns: u64,
    figures: Vec<(&'static str, u64)>,
}

/// What a span has of its own.
struct Timing {
    began: Instant,
    figures: Figures,
}

/// Counts and bytes.
#[derive(Default)]
struct Figures(Vec<(&'static str, u64)>);

impl Visit for Figures {
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.0.push((field.name(), value));
    }

    fn record_debug(&mut self, _: &Field, _: &dyn std::fmt::Debug) {}
}

/// Which clock the process's end reads.
static LAST: OnceLock<Arc<Clock>> = OnceLock::new();

impl Times {
    pub(super) fn new(talk: Talk, began: Instant) -> Self {
        let clock = Clock { talk, began, process: std::process::id(), state: Mutex::default() };
        let clock = LAST.get_or_init(|| Arc::new(clock)).clone();
        ending::at_exit(tell_the_rest);
        Self(clock)
    }
}

/// What the program did not let end, and the sum of all.
extern "C" fn tell_the_rest() {
    let Some(clock) = LAST.get().filter(|clock| clock.process == std::process::id()) else { return };
    let mut state = clock.state();
    while let Some(lap) = state.laps.pop() {
        clock.tell(&mut state, &lap);
    }
    let all = clock.began.elapsed();
    drop(state);
    clock.talk.time(&TimeLine { phase: "in all", within: None, took: all, figures: &[] });
}

impl Clock {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells what was linked, then the rest of the lap.
    fn tell(&self, state: &mut State, lap: &Lap) {
        for Sum { name, took, turns, mut figures } in state.sums.drain(..) {
            let within = (name != LINK).then_some(LINK);
            if within.is_none() {
                figures.insert(0, ("batches", turns));
            }
            self.talk.time(&TimeLine { phase: name, within, took, figures: &figures });
        }
        let rest = lap.began.elapsed().saturating_sub(lap.linking);
        let phase = match lap.name {
            "inputs" => "find inputs",
            // What is not linking is what the executor does.
            "open" => "initialize",
            name => name,
        };
        self.talk.time(&TimeLine { phase, within: None, took: rest, figures: &[] });
    }
}

const LINK: &str = "link";

/// Laps are what the command does one after the other; everything else is part of linking.
fn is_lap(name: &str) -> bool {
    matches!(name, "inputs" | "open" | "run" | "finalize")
}

impl State {
    fn add(&mut self, name: &'static str, took: Duration, figures: Figures) {
        let at = self.sums.iter().position(|sum| sum.name == name).unwrap_or_else(|| {
            // The whole comes before its parts, which end first.
            let at = if name == LINK { 0 } else { self.sums.len() };
            self.sums.insert(at, Sum { name, took: Duration::ZERO, turns: 0, figures: Vec::new() });
            at
        });
        let sum = &mut self.sums[at];
        sum.took += took;
        sum.turns += 1;
        for (field, value) in figures.0 {
            match sum.figures.iter_mut().find(|(known, _)| *known == field) {
                Some((_, total)) => *total += value,
                None => sum.figures.push((field, value)),
            }
        }
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Times {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let name = attributes.metadata().name();
        let began = Instant::now();
        if is_lap(name) {
            let mut state = self.0.state();
            if !std::mem::replace(&mut state.started, true) {
                let took = began - self.0.began;
                self.0.talk.time(&TimeLine { phase: "start", within: None, took, figures: &[] });
            }
            state.laps.push(Lap { name, began, linking: Duration::ZERO });
        }
        span.extensions_mut().insert(Timing { began, figures: Figures::default() });
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        if let Some(timing) = span.extensions_mut().get_mut::<Timing>() {
            values.record(&mut timing.figures);
        }
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let Some(span) = context.span(&id) else { return };
        let Some(Timing { began, figures }) = span.extensions_mut().remove::<Timing>() else { return };
        let (name, took) = (span.name(), began.elapsed());
        let mut state = self.0.state();
        if is_lap(name) {
            let Some(at) = state.laps.iter().rposition(|lap| lap.name == name) else { return };
            let lap = state.laps.remove(at);
            self.0.tell(&mut state, &lap);
        } else if name != "call" {
            // A batch that another thread asked for takes nothing from the lap.
            let inside = |span: SpanRef<'_, S>| span.scope().skip(1).any(|outer| is_lap(outer.name()));
            if name == LINK
                && inside(span)
                && let Some(lap) = state.laps.last_mut()
            {
                lap.linking += took;
            }
            state.add(name, took, figures);
        }
    }
}
