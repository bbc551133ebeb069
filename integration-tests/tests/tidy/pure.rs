//! What decides does not act: state machines and protocols have no clock, no threads and no I/O.

use super::tree::{Source, sources};
use crate::refuse;

/// Folders and files that only decide or compute.
const PURE: [&str; 6] = [
    "dylib-graph/src/",
    "dispatch/src/endpoint.rs",
    "dispatch/src/frame.rs",
    "dispatch/src/packed.rs",
    "jitlink/src/",
    "orc-rt/src/atexit.rs",
];

/// What they must not use.
const ACTS: [&str; 9] = [
    "std::time",
    "std::thread",
    "std::fs",
    "std::net",
    "std::io",
    "std::env",
    "std::process",
    "SystemTime",
    "Instant::now",
];

/// Where input files are opened.
const FILES: &str = "jitlink/src/file.rs";

#[test]
fn what_decides_does_no_io_and_reads_no_clock() {
    let mut breaches = Vec::new();
    let pure = |source: &Source| PURE.iter().any(|path| source.path.starts_with(path)) && source.path != FILES;
    for source in sources().iter().filter(|source| pure(source)) {
        let acting = source.shipped().filter(|(_, line)| ACTS.iter().any(|act| line.code.contains(act)));
        breaches.extend(acting.map(|(number, line)| format!("{}:{number}: {}", source.path, line.text.trim())));
    }
    refuse(
        "the linker, the loader's state machine and the protocol do no I/O, start no thread, read no clock",
        breaches,
    );
}

#[test]
fn locks_come_from_one_file_of_a_crate() {
    let mut breaches = Vec::new();
    for source in sources() {
        let Some((member @ ("dispatch" | "orc-rt"), file)) = source.path.split_once("/src/") else { continue };
        for (number, line) in source.shipped().filter(|_| file != "sync.rs") {
            let from_std = line.code.contains("std::sync")
                || line.code.contains("parking_lot")
                || line.code.contains("crossbeam::sync");
            let lock = ["Mutex", "RwLock", "Condvar"].iter().any(|lock| line.code.contains(lock));
            if from_std && lock {
                breaches.push(format!(
                    "{}:{number}: {} (take it from `crate::sync`, {member}/src/sync.rs)",
                    source.path,
                    line.text.trim()
                ));
            }
        }
    }
    refuse("locks are those of `crate::sync`, so that a model checker can stand in for them", breaches);
}
