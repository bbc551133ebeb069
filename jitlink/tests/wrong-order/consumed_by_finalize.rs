//! A finished link is not finished again.
use jitlink::Link;
use jitlink::link::Resolved;
use jitlink::memory::FlatImage;

fn wrong(link: Link<'_, Resolved<FlatImage>>) {
    let _ = link.finalize();
    let _ = link.finalize();
}

fn main() {}
