//! Is an image that was moved the one that would have been linked there?
//!
//! The same random objects as everywhere here, linked twice: at other addresses, with other distances between segments, and with externals elsewhere. What the first link tells of
//! its fields ([`jitlink::moving`]), applied to its bytes, has to give the bytes of the second.

use super::generate::{Batch, Memory, batch};
use jitlink::graph::LinkGraph;
use jitlink::memory::FlatImage;
use jitlink::moving::{Anchor, ApplyError, Group, Moving};
use jitlink::{FlatMemory, Link, LinkError, LinkOptions, Resolution, Roots, arch};
use proptest::prelude::*;

/// An image, and what moves in it.
struct Stored {
    image: FlatImage,
    moving: Result<Moving, &'static str>,
}

fn link(batch: &Batch, objects: &[Vec<u8>], memory: FlatMemory, shift: u64) -> Result<Stored, Box<LinkError>> {
    let mut graph = LinkGraph::new(&arch::x86_64::MACHINE);
    for (number, object) in objects.iter().enumerate() {
        jitlink::object::read(&mut graph, &format!("{number}.o"), object, Default::default()).expect("a sound object");
    }
    let mut moving = Err("nobody looked");
    let linked = Link::new(graph, LinkOptions::default())
        .prune(&Roots::default())?
        .place(&memory)?
        .resolve(|external| {
            let (_, address) = batch.externals().find(|(name, _)| name.as_bytes() == external.name)?;
            Some(Resolution::new(address + shift, true))
        })?
        .finalize_seen(|written| moving = written.moving())?;
    Ok(Stored { image: linked.allocation, moving })
}

/// The bytes of `from`, moved to where `to` is.
fn moved(from: &Stored, to: &Stored) -> Result<Vec<Vec<u8>>, TestCaseError> {
    let segment = |image: &FlatImage, number: usize| {
        let (start, size, _) = image.segments[number];
        (image.base + start as u64, image.bytes[start..start + size].to_vec())
    };
    let moving = from.moving.as_ref().map_err(|why| TestCaseError::reject(*why))?;
    let there = to.moving.as_ref().map_err(|why| TestCaseError::fail(*why))?;
    let count = from.image.segments.len();
    let mut all: Vec<Vec<u8>> = (0..count).map(|number| segment(&from.image, number).1).collect();
    let delta = |anchor: Anchor| match anchor {
        Anchor::Fixed | Anchor::ThreadLocal => 0,
        Anchor::Segment(number) => {
            let number = usize::from(number);
            segment(&to.image, number).0.wrapping_sub(segment(&from.image, number).0)
        }
        Anchor::External(number) => there.externals[number as usize].wrapping_sub(moving.externals[number as usize]),
    };
    for group in &moving.groups {
        let delta = delta(group.plus).wrapping_sub(delta(group.minus)) as i64;
        let bytes = &mut all[usize::from(group.segment)];
        match Group::apply(&group.places, group.field, bytes, delta) {
            Ok(()) => {}
            Err(ApplyError::OutOfRange { .. }) => return Err(TestCaseError::reject("out of reach there")),
            Err(error) => return Err(TestCaseError::fail(error.to_string())),
        }
    }
    Ok(all)
}

fn compare(batch: &Batch, shift: u64) -> Result<(), TestCaseError> {
    let objects = batch.objects();
    let here = FlatMemory::new(batch.memory.base());
    let there = FlatMemory { base: here.base + 0x20_0000, page_size: 0x8000, ..here };
    let first = link(batch, &objects, here, 0).map_err(|error| TestCaseError::fail(error.to_string()))?;
    // What does not reach from there is refused by a link, and is when it is moved.
    let Ok(second) = link(batch, &objects, there, shift) else {
        return Err(TestCaseError::reject("cannot be linked there"));
    };
    let moved = moved(&first, &second)?;
    for (number, bytes) in moved.iter().enumerate() {
        let (start, size, _) = second.image.segments[number];
        let linked = &second.image.bytes[start..start + size];
        let at = bytes.iter().zip(linked).position(|(a, b)| a != b);
        prop_assert_eq!(at, None, "segment {} differs\n{:#?}", number, batch);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, max_global_rejects: 4096, ..ProptestConfig::default() })]

    #[test]
    fn a_moved_image_is_the_one_that_is_linked_there_in_low_memory(batch in batch(Memory::Low), shift in 0u64..0x10_0000) {
        compare(&batch, shift)?;
    }

    #[test]
    fn a_moved_image_is_the_one_that_is_linked_there(batch in batch(Memory::High), shift in 0u64..0x10_0000) {
        compare(&batch, shift)?;
    }

    #[test]
    fn a_moved_image_of_position_independent_code_is_the_one_that_is_linked_there(batch in batch(Memory::Independent), shift in 0u64..0x10_0000) {
        compare(&batch, shift)?;
    }
}
