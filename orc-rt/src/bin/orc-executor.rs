//! The `orc-executor` command: a process that runs what a controller links.

#![deny(unsafe_code)]

fn main() {
    orc_rt::serve::command::run(std::env::args_os(), &[])
}
