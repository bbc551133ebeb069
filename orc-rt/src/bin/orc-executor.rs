//! The `orc-executor` command: a process that runs what a controller links.

fn main() {}
