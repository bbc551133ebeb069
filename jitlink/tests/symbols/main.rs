//! Which definition does a name mean, what stays, and what does the linker itself define?

mod apart;
mod definitions;
mod groups;
mod linker_made;
mod pruning;
mod roles;
mod sections;
#[path = "../support/mod.rs"]
mod support;
