//! `orc demo`.

mod assemble;
mod program;
