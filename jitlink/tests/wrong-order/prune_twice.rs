//! What was pruned is not pruned again.
use jitlink::link::Pruned;
use jitlink::{Link, Roots};

fn wrong(link: Link<'_, Pruned>) {
    let _ = link.prune(&Roots::default());
}

fn main() {}
