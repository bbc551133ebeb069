//! Is an image that was moved the one that would have been linked there?
//!
//! The same random objects as everywhere here, linked twice: at other addresses, with other distances between segments, and with externals elsewhere. What the first link tells of
//! its fields ([`jitlink::moving`]), applied to its bytes, has to give the bytes of the second.

use super::generate::{Batch, Memory, batch};
use super::stored::{NotMoved, Stored};
use jitlink::graph::LinkGraph;
use jitlink::{FlatMemory, Link, LinkError, LinkOptions, Resolution, Roots, arch};
use proptest::prelude::*;

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
    Ok(Stored { machine: &arch::x86_64::MACHINE, image: linked.allocation, thread_local: None, moving })
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
    let moved = first.moved(&second).map_err(|why| match why {
        NotMoved::Cannot(why) => TestCaseError::reject(why),
        NotMoved::OutOfReach => TestCaseError::reject("out of reach there"),
        NotMoved::Wrong(why) => TestCaseError::fail(why),
    })?;
    for (number, bytes) in moved.iter().enumerate() {
        let at = bytes.iter().zip(second.segment(number).1).position(|(a, b)| a != b);
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
