//! What has no addresses cannot be told those of others.
use jitlink::Link;
use jitlink::link::Pruned;

fn wrong(link: Link<'_, Pruned>) {
    let _ = link.resolve(|_| None);
}

fn main() {}
