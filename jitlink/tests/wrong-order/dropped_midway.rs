//! A link that goes no further is a mistake.
#![deny(unused_must_use)]
use jitlink::link::Built;
use jitlink::{Link, LinkError, Roots};

fn wrong(link: Link<'_, Built>) -> Result<(), LinkError> {
    link.prune(&Roots::default())?;
    Ok(())
}

fn main() {}
