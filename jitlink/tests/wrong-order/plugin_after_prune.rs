//! Plugins see every step: none joins on the way.
use jitlink::link::Pruned;
use jitlink::{Link, Plugin};

struct Nothing;
impl Plugin for Nothing {}

fn wrong(link: Link<'_, Pruned>) {
    let _ = link.with(Nothing);
}

fn main() {}
