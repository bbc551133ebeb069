//! Objects whose tables contradict themselves or the file: each says what is wrong, and where.

use super::edit::{self, *};
use super::support::{assemble, graph, link, link_with};
use jitlink::Roots;

const SOURCE: &str = "
    .section .text.f,\"axG\",@progbits,sig,comdat
    .weak f
    f: .cfi_startproc
    call g
    ret
    .cfi_endproc
    .section .data.d,\"awG\",@progbits,sig,comdat
    .weak d
    d: .quad f
    .data
    .globl p
    p: .quad f, d
    .bss
    .globl zeros
    zeros: .zero 16
    .comm shared, 8, 8
    .text
    .globl g
    g: ret
";

/// The object after `change`, and what reading it says.
fn said(change: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut data = assemble(SOURCE);
    change(&mut data);
    let objects = [("bad.o", data)];
    graph(&objects).expect_err("damaged").to_string()
}

/// The same, where the damage shows when the object is linked.
fn said_in_link(change: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut data = assemble(SOURCE);
    change(&mut data);
    let objects = [("bad.o", data)];
    link_with(&objects, &Roots::default(), |_| None).err().expect("damaged")
}

#[test]
fn the_undamaged_object_links() {
    let objects = [("good.o", assemble(SOURCE))];
    assert_eq!(link(&objects).word_at("p"), link(&objects).address("f"));
}

#[test]
fn sections_lie_in_the_file() {
    let length = assemble(SOURCE).len();
    assert_eq!(
        said(|data| edit::section(data, ".data", SH_OFFSET, 0x10_0000)),
        format!(
            "bad.o: section .data: malformed: its bytes 0x100000..0x100010 lie outside the file, which has {length:#x}"
        )
    );
    assert_eq!(
        said(|data| edit::section(data, ".data", SH_SIZE, u64::MAX)),
        format!(
            "bad.o: section .data: malformed: its bytes {:#x}..{:#x} lie outside the file, which has {length:#x}",
            edit::content_of(&assemble(SOURCE), ".data").0,
            u64::MAX
        )
    );
    let cut = said(|data| data.truncate(0x200));
    assert!(cut.starts_with("bad.o: malformed: "), "{cut}");
    let moved = said(|data| edit::file(data, E_SHOFF, u64::MAX - 8));
    assert!(moved.starts_with("bad.o: malformed: "), "{moved}");
}

#[test]
fn sections_do_not_overlap() {
    let length = assemble(SOURCE).len() as u64;
    let said = said(|data| {
        edit::section(data, ".data.d", SH_OFFSET, 0);
        edit::section(data, ".data.d", SH_SIZE, length);
    });
    let (start, end) = (
        "bad.o: section .data.d: malformed: sections overlap: up to this one they claim 0x",
        format!(", the file has {length:#x}"),
    );
    assert!(said.starts_with(start) && said.ends_with(&end), "{said}");
}

#[test]
fn zeros_fit_an_address_space() {
    assert_eq!(
        said(|data| edit::section(data, ".bss", SH_SIZE, 1 << 60)),
        "bad.o: section .bss: malformed: 0x1000000000000000 zeros are more than an address space holds"
    );
    assert_eq!(
        said(|data| edit::symbol(data, "shared", ST_SIZE, 1 << 60)),
        "bad.o: malformed: common symbol 'shared': 0x1000000000000000 bytes are more than an address space holds"
    );
    // What an address space could hold and this memory does not is for the memory to refuse; nothing is touched before.
    let said = said_in_link(|data| edit::section(data, ".bss", SH_SIZE, 1 << 46));
    assert!(said.ends_with(" bytes cannot be had"), "{said}");
}

#[test]
fn alignments_are_powers_of_two_up_to_a_gibibyte() {
    for align in [3, 1 << 31, 1 << 63, u64::MAX] {
        assert_eq!(
            said(|data| edit::section(data, ".data", SH_ADDRALIGN, align)),
            format!("bad.o: section .data: malformed: alignment {align:#x} is not a power of two up to 1 GiB")
        );
        assert_eq!(
            said(|data| edit::symbol(data, "shared", ST_VALUE, align)),
            format!("bad.o: malformed: common symbol 'shared': alignment {align:#x} is not a power of two up to 1 GiB")
        );
    }
    let mut data = assemble(SOURCE);
    edit::section(&mut data, ".data", SH_ADDRALIGN, 0);
    link(&[("zero.o", data)]).word_at("p");
}

#[test]
fn memory_is_never_writable_and_executable() {
    assert_eq!(
        said(|data| edit::section(data, ".text", SH_FLAGS, 7)),
        "bad.o: section .text: is writable and executable at once: split it, or drop one of the two flags"
    );
}

#[test]
fn loaded_sections_are_not_compressed() {
    assert_eq!(
        said(|data| edit::section(data, ".data", SH_FLAGS, 0x803)),
        "bad.o: section .data: malformed: a loaded section cannot be compressed (gABI SHF_COMPRESSED)"
    );
}

#[test]
fn names_lie_in_the_string_table() {
    let section = said(|data| edit::section(data, ".data", SH_NAME, 0xffff));
    assert!(section.starts_with("bad.o: section number ") && section.contains(": malformed: "), "{section}");
    let symbol = said(|data| edit::symbol(data, "p", ST_NAME, 0xffff));
    assert!(symbol.starts_with("bad.o: malformed: "), "{symbol}");
}

#[test]
fn symbols_stand_in_their_sections() {
    assert_eq!(
        said(|data| edit::symbol(data, "p", ST_VALUE, 17)),
        "bad.o: section .data+0x11: malformed: symbol 'p' lies at 0x11, after the section's 0x10 bytes"
    );
    assert_eq!(
        said(|data| edit::symbol(data, "p", ST_SHNDX, 999)),
        "bad.o: malformed: symbol 'p' is in section number 999, which does not exist"
    );
    assert_eq!(
        said(|data| edit::symbol(data, "p", ST_SHNDX, 0xff10)),
        "bad.o: malformed: symbol 'p' is in section number 0xff10, which is reserved"
    );
    // SHN_XINDEX, and no table of wide numbers.
    assert_eq!(
        said(|data| edit::symbol(data, "p", ST_SHNDX, 0xffff)),
        format!("bad.o: malformed: symbol 'p' is in section number {}, which does not exist", u32::MAX)
    );
    // The end of a section is a place.
    let mut data = assemble(SOURCE);
    edit::symbol(&mut data, "p", ST_VALUE, 16);
    link(&[("end.o", data)]);
}

#[test]
fn relocations_write_into_their_section() {
    assert_eq!(
        said(|data| edit::relocation(data, ".rela.data", 1, R_OFFSET, 9)),
        "bad.o: section .data+0x9: malformed: R_X86_64_64 writes beyond the section's 0x10 bytes"
    );
    assert_eq!(
        said(|data| edit::relocation(data, ".rela.data", 1, R_OFFSET, u64::MAX - 2)),
        "bad.o: section .data+0xfffffffffffffffd: malformed: R_X86_64_64 writes beyond the section's 0x10 bytes"
    );
    assert_eq!(
        said(|data| {
            let bss = edit::number(data, ".bss") as u64;
            edit::section(data, ".rela.data", SH_INFO, bss);
        }),
        "bad.o: section .bss: malformed: relocations in a section without content"
    );
}

#[test]
fn relocations_have_a_known_type_and_a_symbol() {
    assert_eq!(
        said(|data| edit::relocation(data, ".rela.data", 0, R_TYPE, 250)),
        "bad.o: section .data+0x0: unknown or unsupported relocation type 250 (not one of ELF x86-64) against symbol 'f'"
    );
    assert_eq!(
        said(|data| edit::relocation(data, ".rela.data", 1, R_TYPE, 8)),
        "bad.o: section .data+0x8: unknown or unsupported relocation R_X86_64_RELATIVE (type 8, for dynamic loaders only: it adds a load address to a linked one) against symbol 'd'"
    );
    assert_eq!(
        said(|data| edit::relocation(data, ".rela.data", 0, R_SYM, 999)),
        "bad.o: section .data+0x0: malformed: the relocation names symbol number 999, which does not exist or is a file name"
    );
}

#[test]
fn relocation_sections_are_of_a_kind_that_this_machine_has() {
    assert_eq!(
        said(|data| edit::section(data, ".rela.data", SH_TYPE, 9)),
        "bad.o: section .rela.data: malformed: relocations without addends (SHT_REL) on a machine whose psABI has none"
    );
    assert_eq!(
        said(|data| edit::section(data, ".rela.data", SH_TYPE, 0x4000_0014)),
        "bad.o: section .rela.data: malformed: compact relocations (SHT_CREL) are not supported: assemble without --crel"
    );
}

#[test]
fn relocation_sections_name_their_section_and_the_symbol_table() {
    let number = |name| edit::number(&assemble(SOURCE), name) as u64;
    for nowhere in [0, 999] {
        assert_eq!(
            said(|data| edit::section(data, ".rela.data", SH_INFO, nowhere)),
            format!("bad.o: section .rela.data: malformed: sh_info {nowhere} is not a section")
        );
    }
    assert_eq!(
        said(|data| edit::section(data, ".rela.data", SH_LINK, 1)),
        format!(
            "bad.o: section .rela.data: malformed: sh_link 1 is not the symbol table, which is section number {}",
            number(".symtab")
        )
    );
    let (data_number, first) = (number(".data"), number(".rela.data"));
    assert_eq!(
        said(|data| edit::section(data, ".rela.data.d", SH_INFO, data_number)),
        format!(
            "bad.o: section .rela.data.d: malformed: a second relocation section for section number {data_number}, after number {first}: not supported"
        )
    );
    // Sections that are not loaded may have as many as they like, of any kind.
    let mut data = assemble(&format!("{SOURCE}\n.section .debug_x,\"\"\n.quad f\n.section .debug_y,\"\"\n.quad f"));
    let x = edit::number(&data, ".debug_x") as u64;
    edit::section(&mut data, ".rela.debug_y", SH_INFO, x);
    edit::section(&mut data, ".rela.debug_x", SH_TYPE, 9);
    link(&[("debug.o", data)]);
}

#[test]
fn groups_have_members_that_are_sections_of_no_other_group() {
    let member = |position: usize, value: u64| {
        said(move |data| {
            let (at, _) = edit::content_of(data, ".group");
            data[at + 4 * position..][..4].copy_from_slice(&(value as u32).to_le_bytes());
        })
    };
    for nowhere in [0, 999, 0xffff_ffff] {
        assert_eq!(
            member(1, nowhere),
            format!("bad.o: section .group: malformed: group member {nowhere} is not a section")
        );
    }
    let text = edit::number(&assemble(SOURCE), ".text.f");
    let twice = format!("bad.o: section .group: malformed: group member {text} is a member of a group already");
    assert_eq!(member(2, text as u64), twice);
    let nameless = said(|data| edit::section(data, ".group", SH_INFO, 999));
    assert!(nameless.starts_with("bad.o: section .group: malformed: "), "{nameless}");
}

#[test]
fn call_frame_information_is_read_as_such() {
    let byte = |offset: usize, value: u8| {
        said_in_link(move |data| {
            let (at, _) = edit::content_of(data, ".eh_frame");
            data[at + offset] = value;
        })
    };
    let at = |offset: usize, what: &str| {
        format!("bad.o: section .eh_frame+{offset:#x}: damaged call frame information: {what}")
    };
    assert_eq!(byte(1, 1), at(0, "a record of 276 bytes, and 44 are left in the section"));
    assert_eq!(byte(8, 9), at(0, "version 9; versions 1, 3 and 4 are known"));
    assert_eq!(byte(10, b'Q'), at(0, "augmentation \"zQ\" is unknown"));
    assert_eq!(byte(28, 8), at(24, "no common information entry at offset 0x14, where this record looks for it"));
    assert_eq!(
        said_in_link(|data| edit::relocation(data, ".rela.eh_frame", 0, R_OFFSET, 0x15)),
        at(0, "the relocation at offset 0x15 writes past the end of the record")
    );
}

#[test]
fn strings_that_do_not_end_are_left_as_they_are() {
    let mut data = assemble(".section .rodata.str,\"aMS\",@progbits,1\n.globl s\ns: .string \"text\"");
    let (at, size) = edit::content_of(&data, ".rodata.str");
    data[at + size - 1] = b'x';
    // As GNU ld has it: a section that is not what it promises is kept, and only the others are merged.
    let objects = [
        ("bad.o", data),
        ("good.o", assemble(".section .rodata.str,\"aMS\",@progbits,1\n.globl t\nt: .string \"text\"")),
    ];
    let linked = link_with(&objects, &Roots::default(), |_| None).expect("nothing else is wrong");
    assert_eq!(linked.bytes(linked.address("s"), 5), b"textx");
}
