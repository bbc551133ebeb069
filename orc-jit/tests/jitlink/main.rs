//! `orc jitlink` beside llvm-jitlink 19: the same objects, the same command lines, the same answers.

mod checks;
mod command;
mod dumps;
mod programs;
mod support;
