//! What /proc tells of processes, and waiting for something to become so.

use std::fs;
use std::time::{Duration, Instant};

/// The variable by which the processes of a test are told from all others: they inherit it, however they were started.
pub(crate) const MARK: &str = "ORC_LIFE_MARK";

/// A process, as it was when it was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) id: u32,
    pub(crate) parent: u32,
    pub(crate) name: String,
    pub(crate) zombie: bool,
}

fn all() -> impl Iterator<Item = Process> {
    let ids = fs::read_dir("/proc")
        .expect("/proc is there")
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    ids.filter_map(look)
}

/// `None` when it is gone.
pub(crate) fn look(id: u32) -> Option<Process> {
    let text = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The name is in parentheses, and may have some of its own.
    let (before, after) = text.rsplit_once(") ")?;
    let name = before.split_once('(')?.1.to_owned();
    let mut fields = after.split(' ');
    let zombie = fields.next()? == "Z";
    Some(Process { id, parent: fields.next()?.parse().ok()?, name, zombie })
}

/// The living processes that have the mark.
pub(crate) fn marked(mark: &str) -> Vec<Process> {
    let wanted = format!("{MARK}={mark}");
    let has = |process: &Process| {
        let environment = fs::read(format!("/proc/{}/environ", process.id)).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|entry| entry == wanted.as_bytes())
    };
    all().filter(has).collect()
}

/// The children of a process that have ended and were not waited for.
pub(crate) fn zombies_of(parent: u32) -> Vec<Process> {
    all().filter(|process| process.zombie && process.parent == parent).collect()
}

/// How many files a process has open.
pub(crate) fn open_files(id: u32) -> usize {
    fs::read_dir(format!("/proc/{id}/fd")).map_or(0, Iterator::count)
}

/// Names of shared memory.
pub(crate) fn shared_memory() -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir("/dev/shm")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect();
    names.sort();
    names
}

/// Paths and abstract names of sockets that have `part` in them.
pub(crate) fn sockets(part: &str) -> Vec<String> {
    let table = fs::read_to_string("/proc/net/unix").unwrap_or_default();
    table.lines().filter(|line| line.contains(part)).map(str::to_owned).collect()
}

/// Waits until `look` finds nothing any more, for at most `limit`.
#[track_caller]
pub(crate) fn gone<T: std::fmt::Debug>(limit: Duration, what: &str, mut look: impl FnMut() -> Vec<T>) {
    let started = Instant::now();
    loop {
        // What is looked at after the limit has had its time.
        let late = started.elapsed() > limit;
        let found = look();
        if found.is_empty() {
            return;
        }
        assert!(!late, "{what}: after {limit:?} there still is {found:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
