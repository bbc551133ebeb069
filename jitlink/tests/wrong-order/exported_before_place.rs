//! Nothing has an address before it is placed.
use jitlink::Link;
use jitlink::link::Pruned;

fn wrong(link: Link<'_, Pruned>) {
    let _ = link.exported(b"main");
}

fn main() {}
