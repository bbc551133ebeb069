//! What refers to unknown addresses cannot be written.
use jitlink::Link;
use jitlink::link::Placed;
use jitlink::memory::FlatImage;

fn wrong(link: Link<'_, Placed<FlatImage>>) {
    let _ = link.finalize();
}

fn main() {}
