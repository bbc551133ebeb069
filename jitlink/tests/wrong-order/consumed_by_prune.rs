//! A step takes the link that it is given.
use jitlink::link::Built;
use jitlink::{Link, Roots};

fn wrong(link: Link<'_, Built>) {
    let _ = link.prune(&Roots::default());
    let _ = link.graph();
}

fn main() {}
