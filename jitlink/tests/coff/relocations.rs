//! Is each relocation type what the PE/COFF specification says, with the addend that stands in the bytes?

use super::support::{BASE, Named, assemble, link, link_with, objects, refused};
use jitlink::graph::{Block, BlockId, Definition, GlobalDefinition, Linkage, Scope, SymbolKind};
use jitlink::reloc::{Refused, coff_x86_64};
use jitlink::{External, FlatMemory, Link, LinkError, LinkOptions, Resolution, Roots};
use object::pe;

#[test]
fn types_are_expressions_of_the_symbol_the_place_and_the_image_base() {
    let source = "
        .section .one, \"dr\"
        .globl data
        data:   .quad target + 0x10
                .rva target + 4
                .secrel32 target
                .secidx target
                .short 0
        .section .text, \"xr\"
        .globl code
        code:   leaq target(%rip), %rax
                movl $7, target + 8(%rip)
                movb $7, target(%rip)
                call code
        .section .data, \"dw\"
                .zero 0x20
        .globl target
        target: .zero 16";
    let objects = objects([source]);
    let program = link(&objects);
    let (target, code, data) = (program.address("target"), program.address("code"), program.address("data"));
    assert_eq!(program.base(), BASE);
    assert_eq!(program.word_at("data"), target + 0x10);
    assert_eq!(program.half_at("data", 8), (target + 4 - BASE) as u32);
    assert_eq!(program.half_at("data", 12), 0x20, "counted from the section's start");
    let number = program.half_at("data", 16);
    assert!((1..=3).contains(&number), "{number}");
    let delta = |at: u64| code.wrapping_add(at).wrapping_add_signed(program.half_at("code", at - 4) as i32 as i64);
    // From the end of each instruction: lea, mov with four bytes behind the field, mov with one.
    assert_eq!(delta(7), target);
    assert_eq!(delta(13) + 4, target + 8);
    assert_eq!(delta(23) + 1, target);
    assert_eq!(delta(29), code);
    assert_ne!(data, 0);
}

/// An object whose only section holds `bytes` and has one relocation of this type, at offset 4, to the symbol `x`.
fn with_type(typ: u16, bytes: [u8; 16]) -> Vec<u8> {
    // An assembled object whose relocation is another one: the type is two bytes at the end of its entry.
    let mut object = assemble(".section .text, \"xr\"\n.globl x\nnop\nnop\nnop\nnop\n.long x\n.zero 8");
    let header = 20;
    let word = |at: usize| u32::from_le_bytes(object[at..at + 4].try_into().expect("four bytes")) as usize;
    let sections = u16::from_le_bytes([object[2], object[3]]) as usize;
    let section = (0..sections)
        .map(|at| header + 40 * at)
        .find(|at| object[*at..].starts_with(b".text"))
        .expect("a section of code");
    let (content, entry) = (word(section + 20), word(section + 24));
    object[content..content + 16].copy_from_slice(&bytes);
    object[entry + 8..entry + 10].copy_from_slice(&typ.to_le_bytes());
    object
}

/// The field of a link at `base` in which `x` is there, and its address.
fn value(typ: pe::RelocationType, addend: i32, base: u64, x: u64) -> Result<(u32, u64), String> {
    let mut bytes = [0x90; 16];
    bytes[4..8].copy_from_slice(&addend.to_le_bytes());
    let objects: [Named; 1] = [("a.obj", with_type(typ.0, bytes))];
    let mut graph = super::support::graph(&objects).map_err(|error| error.to_string())?;
    let is_code = |block: &Block<'_>| graph.section(block.section).name == b".text" && block.size == 16;
    let block = BlockId::from_index(graph.blocks().iter().position(is_code).expect("the block"));
    let start = GlobalDefinition {
        definition: Definition::Block(block),
        value: 0,
        size: 0,
        linkage: Linkage::Strong,
        scope: Scope::Default,
        kind: SymbolKind::Function,
        object: graph.section_of(block).object,
    };
    graph.define(b"start", start).expect("a new name");
    let text = |error: LinkError| error.to_string();
    let link = Link::new(graph, LinkOptions::default()).prune(&Roots::default()).map_err(text)?;
    let placed = link.place(&FlatMemory::new(base)).map_err(text)?;
    let found = |external: External<'_>| (external.name == b"x").then(|| Resolution::new(x, false));
    let linked = placed.resolve(found).map_err(text)?.finalize().map_err(text)?;
    let place = linked.address(b"start").expect("kept") + 4;
    let field = linked.allocation.at(place, 4).expect("in the image");
    Ok((u32::from_le_bytes(field.try_into().expect("four bytes")), place))
}

#[test]
fn relative_types_count_from_the_end_of_their_instruction() {
    let x = BASE + 0x1_0000;
    let types = [
        pe::IMAGE_REL_AMD64_REL32,
        pe::IMAGE_REL_AMD64_REL32_1,
        pe::IMAGE_REL_AMD64_REL32_2,
        pe::IMAGE_REL_AMD64_REL32_3,
        pe::IMAGE_REL_AMD64_REL32_4,
        pe::IMAGE_REL_AMD64_REL32_5,
    ];
    for (behind, typ) in (0..).zip(types) {
        for addend in [0, 0x123, -8] {
            let (value, place) = value(typ, addend, BASE, x).expect("in reach");
            let expected = x.wrapping_add_signed(addend.into()).wrapping_sub(place + 4 + behind);
            assert_eq!(value, expected as u32, "{typ:?} {addend}");
        }
    }
}

#[test]
fn ends_of_ranges() {
    #[track_caller]
    fn refused(result: Result<(u32, u64), String>) {
        let error = result.expect_err("does not fit");
        assert!(error.contains("out of range"), "{error}");
    }
    let low = 0x10_0000;
    let offset = |x| value(pe::IMAGE_REL_AMD64_ADDR32NB, 0, BASE, x);
    assert_eq!(offset(BASE).map(|(value, _)| value), Ok(0));
    assert_eq!(offset(BASE + u64::from(u32::MAX)).map(|(value, _)| value), Ok(u32::MAX));
    refused(offset(BASE - 1));
    refused(offset(BASE + (1 << 32)));
    let address = |addend| value(pe::IMAGE_REL_AMD64_ADDR32, addend, low, 0xffff_fffe);
    assert_eq!(address(1).map(|(value, _)| value), Ok(0xffff_ffff));
    refused(address(2));
    let (_, place) = value(pe::IMAGE_REL_AMD64_REL32, 0, low, low).expect("near");
    let far = |addend| value(pe::IMAGE_REL_AMD64_REL32, addend, low, place + 4 + 0x7fff_ffff);
    assert_eq!(far(0).map(|(value, _)| value), Ok(0x7fff_ffff));
    refused(far(1));
}

#[test]
fn types_without_a_meaning_say_why() {
    for (typ, why) in [
        (
            pe::IMAGE_REL_AMD64_TOKEN,
            "IMAGE_REL_AMD64_TOKEN (type 13: it names metadata of the Common Language Runtime)",
        ),
        (pe::IMAGE_REL_AMD64_SREL32, "IMAGE_REL_AMD64_SREL32 (type 14: "),
        (pe::IMAGE_REL_AMD64_PAIR, "IMAGE_REL_AMD64_PAIR (type 15: "),
        (pe::RelocationType(77), "type 77 (not one of COFF x86-64)"),
    ] {
        let objects: [Named; 1] = [("a.obj", with_type(typ.0, [0; 16]))];
        let said = refused(&objects);
        assert!(
            said.contains("a.obj: section .text+0x4: unknown or unsupported relocation") && said.contains(why),
            "{said}"
        );
        assert!(said.ends_with("against symbol 'x'"), "{said}");
    }
}

/// Every number of the specification is a row or is refused, and no row has a number that the specification lacks.
#[test]
fn every_number_is_known_or_refused() {
    for typ in 0..=u16::MAX {
        match coff_x86_64::lookup(typ) {
            Some(row) => assert!(typ <= 0xc && row.name.starts_with("IMAGE_REL_AMD64_"), "{typ}"),
            None => {
                let named = matches!(coff_x86_64::refuse(typ), Refused::Unsupported { .. });
                assert_eq!(named, (0xd..=0x11).contains(&typ), "{typ}");
            }
        }
    }
}

/// Seven bits of a byte: the eighth is kept.
#[test]
fn seven_bits_of_an_offset_in_a_section() {
    let typ = pe::IMAGE_REL_AMD64_SECREL7.0;
    let mut object = with_type(typ, [0; 16]);
    // `x` is to be in the section: its symbol gets the number of the section and an offset.
    let at = object.windows(8).rposition(|name| name == b"x\0\0\0\0\0\0\0").expect("a symbol");
    object[at + 8..at + 12].copy_from_slice(&12u32.to_le_bytes());
    object[at + 12..at + 14].copy_from_slice(&1u16.to_le_bytes());
    let content = u32::from_le_bytes(object[40..44].try_into().expect("four bytes")) as usize;
    object[content + 4] = 0x80;
    let objects: [Named; 1] = [("a.obj", object)];
    let program = link_with(&objects, &Roots::default(), |_| None).expect("a link");
    assert_eq!(program.bytes(program.address("x") - 8, 1), [0x80 | 12]);
}

#[test]
fn a_call_out_of_reach_goes_through_a_stub_and_other_references_do_not() {
    let far = 0x7f00_0000_1000;
    let call = objects(["call far\n.globl start\nstart: ret"]);
    let find = |external: External<'_>| (external.name == b"far").then(|| Resolution::new(far, true));
    let program = link_with(&call, &Roots::default(), find).expect("a stub is in reach");
    let start = program.address("start");
    let to = start.wrapping_add_signed(i32::from_le_bytes(program.bytes(start - 4, 4).try_into().expect("4")).into());
    assert_eq!(program.bytes(to, 2), [0xff, 0x25], "jmp *slot(%rip)");

    let load = objects([".globl start\nstart: movl far(%rip), %eax"]);
    let find = |external: External<'_>| (external.name == b"far").then(|| Resolution::new(far, false));
    let error = link_with(&load, &Roots::default(), find).err().expect("data cannot be reached");
    assert!(error.contains("Delta32 to 'far'") && error.contains("out of range"), "{error}");
}
