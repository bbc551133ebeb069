//! What is linked has an owner.
#![deny(unused_must_use)]
use jitlink::link::Resolved;
use jitlink::memory::FlatImage;
use jitlink::{Link, LinkError};

fn wrong(link: Link<'_, Resolved<FlatImage>>) -> Result<(), LinkError> {
    link.finalize()?;
    Ok(())
}

fn main() {}
