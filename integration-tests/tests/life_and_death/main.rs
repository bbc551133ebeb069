//! How do executors and what they run end, by whomever, and what do they leave behind? Real processes, real signals.
//!
//! Every test has a folder, a mark in the environment of everything that it starts, and listeners of its own. One test runs at a time:
//! they measure time and count processes. `ORC_EXECUTORS` restricts them as it does the cases; `ORC_LIFE_CYCLES` is how often
//! [`cycles`] starts and kills (300).

mod cycles;
mod ends;
mod kills;
mod processes;
mod reports;
mod signals;
mod strangers;
mod streams;
mod world;
