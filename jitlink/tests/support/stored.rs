//! An image as one stores it: its bytes, and what moves in it.

use jitlink::arch::Machine;
use jitlink::memory::{FlatImage, ThreadLocal};
use jitlink::moving::{Anchor, ApplyError, Group, Moved, Moving};

pub(crate) struct Stored {
    pub(crate) machine: &'static Machine,
    pub(crate) image: FlatImage,
    pub(crate) thread_local: Option<ThreadLocal>,
    pub(crate) moving: Result<Moving, &'static str>,
}

/// Why an image was not moved.
#[derive(Debug)]
pub(crate) enum NotMoved {
    /// It cannot be.
    Cannot(&'static str),
    /// Something is out of reach from there.
    OutOfReach,
    /// It should have been.
    Wrong(String),
}

impl std::fmt::Display for NotMoved {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Cannot(why) => write!(f, "it has {why}"),
            Self::OutOfReach => f.write_str("something is out of reach from there"),
            Self::Wrong(why) => f.write_str(why),
        }
    }
}

impl Stored {
    /// A segment's address and content.
    pub(crate) fn segment(&self, number: usize) -> (u64, &[u8]) {
        let (start, size, _) = self.image.segments[number];
        (self.image.base + start as u64, &self.image.bytes[start..start + size])
    }

    /// The bytes of each segment, moved to where `there` is.
    pub(crate) fn moved(&self, there: &Self) -> Result<Vec<Vec<u8>>, NotMoved> {
        let moving = self.moving.as_ref().map_err(|why| NotMoved::Cannot(why))?;
        let other = there.moving.as_ref().map_err(|why| NotMoved::Wrong((*why).to_owned()))?;
        let count = self.image.segments.len();
        let mut all: Vec<Vec<u8>> = (0..count).map(|number| self.segment(number).1.to_vec()).collect();
        let place =
            |of: fn(ThreadLocal) -> u64| there.thread_local.map_or(0, of).wrapping_sub(self.thread_local.map_or(0, of));
        let moved = |anchor: Anchor| match anchor {
            Anchor::Fixed => 0,
            Anchor::ThreadLocal => place(ThreadLocal::address),
            Anchor::Module => place(|place| place.module),
            Anchor::ModuleOffset => place(|place| place.offset),
            Anchor::Segment(number) => {
                let number = usize::from(number);
                there.segment(number).0.wrapping_sub(self.segment(number).0)
            }
            Anchor::External(number) => {
                other.externals[number as usize].wrapping_sub(moving.externals[number as usize])
            }
        };
        for Group { segment, field, plus, minus, places } in &moving.groups {
            let moved = Moved { plus: moved(*plus), minus: moved(*minus) };
            match Group::apply(self.machine, places, *field, &mut all[usize::from(*segment)], moved) {
                Ok(()) => {}
                Err(ApplyError::OutOfRange { .. }) => return Err(NotMoved::OutOfReach),
                Err(error) => return Err(NotMoved::Wrong(error.to_string())),
            }
        }
        Ok(all)
    }
}
