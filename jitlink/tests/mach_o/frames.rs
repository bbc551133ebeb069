//! What an unwinder reads: call frame information as it stands in the object, or made of compact unwind encodings.

use super::support::{ARM64, BASE, Program, STORAGE, assemble, clang, link, link_with, refused, try_read};
use jitlink::{FlatMemory, Keep, Link, LinkOptions, Resolution, Roots};

/// One record of a linked table, as an unwinder sees it.
#[derive(Debug, PartialEq, Eq)]
struct Record {
    function: u64,
    length: u64,
    personality: Option<u64>,
    table: Option<u64>,
    instructions: Vec<u8>,
}

/// Reads a table: version 1, encodings that are relative, of four or eight bytes.
fn records(program: &Program<'_>) -> Vec<Record> {
    let (base, size) = program.0.eh_frame.expect("call frame information");
    let bytes = program.bytes(base, size as usize);
    let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
    let relative = |at: usize, encoding: u8| match encoding & 0x7f {
        0x10 => (base + at as u64).wrapping_add(u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))),
        0x1b => (base + at as u64).wrapping_add_signed(i64::from(word(at) as i32)),
        other => panic!("encoding {other:#x}"),
    };
    let width = |encoding: u8| if encoding & 0x0f == 0 { 8 } else { 4 };
    let mut found = Vec::new();
    let mut at = 0;
    while word(at) != 0 {
        let end = at + 4 + word(at) as usize;
        let link = word(at + 4) as usize;
        if link != 0 {
            let common = at + 4 - link;
            assert_eq!((word(common + 4), bytes[common + 8], bytes[common + 9]), (0, 1, b'z'));
            let letters: Vec<u8> = bytes[common + 9..].iter().copied().take_while(|byte| *byte != 0).collect();
            // Alignments, register and length have one byte each here.
            let mut data = common + 9 + letters.len() + 1 + 4;
            let (mut personality, mut table, mut code) = (None, None, 0);
            for letter in &letters[1..] {
                match letter {
                    b'P' => {
                        assert_eq!(bytes[data], 0x9b, "relative, of a word with the address");
                        personality = Some(program.word(relative(data + 1, bytes[data])));
                        data += 5;
                    }
                    b'L' => {
                        table = Some(bytes[data]);
                        data += 1;
                    }
                    b'R' => {
                        code = bytes[data];
                        data += 1;
                    }
                    other => panic!("{other}"),
                }
            }
            let start = at + 8;
            let width = width(code);
            let length = if width == 8 {
                u64::from_le_bytes(bytes[start + 8..start + 16].try_into().expect("eight"))
            } else {
                word(start + 4).into()
            };
            let augmentation = start + 2 * width;
            let after = augmentation + 1 + usize::from(bytes[augmentation]);
            let table = table.map(|encoding| relative(augmentation + 1, encoding));
            let instructions = bytes[after..end].to_vec();
            found.push(Record { function: relative(start, code), length, personality, table, instructions });
        }
        at = end;
    }
    found
}

const THROWS: &str = "struct S { ~S(); }; extern \"C\" void other(int); extern \"C\" int catches(int x) { S s; try { other(x); } catch (int e) { return e; } return 0; }
    extern \"C\" int plain(int x) { S s; other(x); return x; }";
const PERSONALITY: u64 = BASE + 0x30_0000;

/// The same link for arm64.
fn throws_on_arm64<'d>(objects: &'d [Vec<u8>]) -> Program<'d> {
    let graph = try_read(ARM64, objects).unwrap_or_else(|error| panic!("{error}"));
    let pruned = Link::new(graph, LinkOptions::default()).prune(&Roots::default());
    let placed = pruned.and_then(|link| link.place(&FlatMemory::new(BASE))).unwrap_or_else(|error| panic!("{error}"));
    let found = |external: jitlink::External<'_>| {
        let at = if external.name == b"__gxx_personality_v0" { PERSONALITY } else { BASE + 0x40_0000 };
        Some(Resolution::new(at, external.name != b"_ZTIi"))
    };
    Program(placed.resolve(found).and_then(Link::finalize).unwrap_or_else(|error| panic!("{error}")))
}

#[test]
fn arm64_s_records_and_encodings_lead_to_the_same_functions() {
    for flag in ["-femit-dwarf-unwind=always", "-femit-dwarf-unwind=no-compact-unwind"] {
        let objects = [clang("arm64", "c++", &["-O1", "-fexceptions", flag], THROWS)];
        let program = throws_on_arm64(&objects);
        let records = records(&program);
        for name in ["catches", "plain"] {
            let symbol = program.symbol(name);
            let record = records.iter().find(|record| record.function == symbol.address).expect(name);
            assert!(record.length <= symbol.size && record.length > 0, "{flag} {name}: {record:?}");
            assert_eq!(record.personality, Some(PERSONALITY), "{flag} {name}");
            assert_eq!(program.bytes(record.table.expect("data"), 1), [0xff], "{flag} {name}");
        }
    }
    let flags = ["-O1", "-fexceptions", "-femit-dwarf-unwind=no-compact-unwind"];
    let objects = [clang("arm64", "c++", &flags, THROWS)];
    let program = throws_on_arm64(&objects);
    let records = records(&program);
    let plain = records.iter().find(|record| record.function == program.address("plain")).expect("plain");
    // DW_CFA_def_cfa x29+16, x29 at cfa-16, x30 at cfa-8, then the first pair.
    assert_eq!(plain.instructions[..7], [0x0c, 29, 16, 0x80 | 29, 2, 0x80 | 30, 1], "{plain:?}");
}

fn throws<'d>(objects: &'d [Vec<u8>]) -> Program<'d> {
    let found = |external: jitlink::External<'_>| {
        let at = if external.name == b"__gxx_personality_v0" { PERSONALITY } else { BASE + 0x40_0000 };
        Some(Resolution::new(at, external.name != b"_ZTIi"))
    };
    link_with(objects, &Roots::default(), STORAGE, found).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn distances_in_the_bytes_lead_to_where_the_functions_went() {
    let objects = [clang("x86_64", "c++", &["-O1", "-fexceptions"], THROWS)];
    let program = throws(&objects);
    let records = records(&program);
    for name in ["catches", "plain"] {
        let symbol = program.symbol(name);
        let record = records.iter().find(|record| record.function == symbol.address).expect(name);
        assert!(record.length <= symbol.size, "{name}: {record:?}");
        assert_eq!(record.personality, Some(PERSONALITY), "{name}");
        let table = record.table.expect("language-specific data");
        // LPStart omitted.
        assert_eq!(program.bytes(table, 1), [0xff], "{name}");
    }
}

#[test]
fn encodings_become_records_where_there_are_none() {
    let flags = ["-O1", "-fexceptions", "-femit-dwarf-unwind=no-compact-unwind"];
    let objects = [clang("x86_64", "c++", &flags, THROWS)];
    let program = throws(&objects);
    let records = records(&program);
    for name in ["catches", "plain"] {
        let symbol = program.symbol(name);
        let record = records.iter().find(|record| record.function == symbol.address).expect(name);
        assert!(record.length <= symbol.size && record.length > 0, "{name}: {record:?}");
        assert_eq!(
            (record.personality, program.bytes(record.table.expect("data"), 1)),
            (Some(PERSONALITY), &[0xff][..])
        );
        // DW_CFA_def_cfa %rbp+16, %rbp at cfa-16, the return address at cfa-8.
        assert_eq!(record.instructions[..7], [0x0c, 6, 16, 0x86, 2, 0x90, 1], "{name}");
    }
}

#[test]
fn a_function_without_personality_has_a_record_of_its_frame() {
    let source = "extern void other(void *); int f(int x) { char b[64]; other(b); return b[x & 63]; }";
    let flags = ["-O1", "-fomit-frame-pointer", "-femit-dwarf-unwind=no-compact-unwind"];
    let objects = [clang("x86_64", "c", &flags, source)];
    let program = link_with(&objects, &Roots::default(), STORAGE, |_| Some(Resolution::new(BASE + 0x1000, true)))
        .unwrap_or_else(|error| panic!("{error}"));
    let records = records(&program);
    let [record] = &records[..] else { panic!("{records:?}") };
    assert_eq!((record.function, record.personality, record.table), (program.address("f"), None, None));
    // DW_CFA_def_cfa %rsp+n.
    assert_eq!(record.instructions[..2], [0x0c, 7], "{record:?}");
    assert!(record.instructions[2] > 64);
}

#[test]
fn records_and_tables_go_with_their_functions() {
    let objects = [clang("x86_64", "c++", &["-O1", "-fexceptions"], THROWS)];
    let roots = Roots { required: &[b"plain"], keep: Keep::Named, ..Roots::default() };
    let found = |_: jitlink::External<'_>| Some(Resolution::new(BASE + 0x1000, true));
    let program = link_with(&objects, &roots, STORAGE, found).unwrap_or_else(|error| panic!("{error}"));
    let functions: Vec<u64> = records(&program).iter().map(|record| record.function).collect();
    assert_eq!(functions, [program.address("plain")]);
    assert!(!program.keeps("catches"));
}

#[test]
fn pairs_of_relocations_in_records_say_no_more_than_their_bytes() {
    // As older assemblers wrote them: every distance as a pair of relocations.
    let objects = [assemble(
        ".globl _f, _g\n_f: nop\nret\n_g: ret\n.section __TEXT,__eh_frame,coalesced,no_toc+strip_static_syms+live_support\n\
         EH_frame: .long 20\n.long 0\n.byte 1\n.asciz \"zR\"\n.byte 1, 0x78, 16, 1, 0x10, 0x0c, 7, 8, 0x90, 1, 0, 0\n\
         EH_fde: .long 28\nEH_link: .long EH_link - EH_frame\nEH_pc: .quad _g - EH_pc\n.quad 1\n.byte 0\n.zero 7",
    )];
    let program = link(&objects);
    let records = records(&program);
    let [record] = &records[..] else { panic!("{records:?}") };
    assert_eq!((record.function, record.length), (program.address("g"), 1));
}

#[test]
fn damaged_records_are_refused_with_their_place() {
    let error = refused(&assemble("_f: ret\n.section __TEXT,__eh_frame\n.long 400\n.long 0"));
    assert!(error.contains("section __TEXT,__eh_frame+0x0: malformed: damaged call frame information"), "{error}");
    let error =
        refused(&assemble("_f: ret\n.section __LD,__compact_unwind\n.quad _f\n.long 1, 0x0f000000\n.quad 0, 0"));
    assert!(error.contains("compact unwind encoding 0x0f000000"), "{error}");
}
