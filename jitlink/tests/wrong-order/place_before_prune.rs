//! What is not pruned has no tables, and cannot be placed.
use jitlink::link::Built;
use jitlink::{FlatMemory, Link};

fn wrong(link: Link<'_, Built>) {
    let _ = link.place(&FlatMemory::new(0));
}

fn main() {}
