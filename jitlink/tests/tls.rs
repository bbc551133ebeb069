//! Does every access to a thread-local variable read that variable, rewritten or not?
//!
//! Sequences are checked against a decoder; links of small objects are checked against where the memory says that storage is.

use iced_x86::{Decoder, DecoderOptions, Formatter, IntelFormatter};
use jitlink::arch::x86_64::{MACHINE, kind};
use jitlink::fixup::{Operands, apply};
use jitlink::graph::EdgeKind;
use jitlink::memory::ThreadLocal;
use jitlink::{FlatMemory, Link, LinkError, LinkGraph, LinkOptions, Resolution, Roots, arch};
use object::write::{Object, Relocation, StandardSection, Symbol, SymbolId, SymbolSection};
use object::{Architecture, BinaryFormat, Endianness, RelocationFlags, SymbolFlags, SymbolKind, SymbolScope, elf};

/// A sequence, its first edge and where its field is, the field of its call, and what it becomes for a variable 64 bytes below the thread pointer.
struct Case {
    name: &'static str,
    kind: EdgeKind,
    field: usize,
    call: Option<u32>,
    code: &'static [u8],
    becomes: &'static [&'static str],
}

const LOAD: &str = "mov rax,fs:[0]";

#[rustfmt::skip]
const CASES: &[Case] = &[
    Case {
        name: "general dynamic", kind: kind::TLS_PAIR32, field: 4, call: Some(12),
        code: &[0x66, 0x48, 0x8d, 0x3d, 0, 0, 0, 0, 0x66, 0x66, 0x48, 0xe8, 0, 0, 0, 0],
        becomes: &[LOAD, "lea rax,[rax-40h]"],
    },
    Case {
        name: "general dynamic, -fno-plt", kind: kind::TLS_PAIR32, field: 4, call: Some(12),
        code: &[0x66, 0x48, 0x8d, 0x3d, 0, 0, 0, 0, 0x66, 0x48, 0xff, 0x15, 0, 0, 0, 0],
        becomes: &[LOAD, "lea rax,[rax-40h]"],
    },
    Case {
        name: "general dynamic, large", kind: kind::TLS_PAIR32, field: 3, call: Some(9),
        code: &[0x48, 0x8d, 0x3d, 0, 0, 0, 0, 0x48, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0x48, 0x01, 0xd8, 0xff, 0xd0],
        becomes: &[LOAD, "lea rax,[rax-40h]", "nop [rax+rax]"],
    },
    Case {
        name: "general dynamic, large, r15", kind: kind::TLS_PAIR32, field: 3, call: Some(9),
        code: &[0x48, 0x8d, 0x3d, 0, 0, 0, 0, 0x48, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0x4c, 0x01, 0xf8, 0xff, 0xd0],
        becomes: &[LOAD, "lea rax,[rax-40h]", "nop [rax+rax]"],
    },
    Case {
        name: "local dynamic", kind: kind::TLS_MODULE_PAIR32, field: 3, call: Some(8),
        code: &[0x48, 0x8d, 0x3d, 0, 0, 0, 0, 0xe8, 0, 0, 0, 0],
        becomes: &[LOAD],
    },
    Case {
        name: "local dynamic, -fno-plt", kind: kind::TLS_MODULE_PAIR32, field: 3, call: Some(9),
        code: &[0x48, 0x8d, 0x3d, 0, 0, 0, 0, 0xff, 0x15, 0, 0, 0, 0],
        becomes: &[LOAD],
    },
    Case {
        name: "local dynamic, addr32 call", kind: kind::TLS_MODULE_PAIR32, field: 3, call: Some(9),
        code: &[0x48, 0x8d, 0x3d, 0, 0, 0, 0, 0x67, 0xe8, 0, 0, 0, 0],
        becomes: &[LOAD],
    },
    Case {
        name: "local dynamic, large", kind: kind::TLS_MODULE_PAIR32, field: 3, call: Some(9),
        code: &[0x48, 0x8d, 0x3d, 0, 0, 0, 0, 0x48, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0x48, 0x01, 0xd8, 0xff, 0xd0],
        becomes: &["nop [rax+rax]", LOAD],
    },
    Case {
        name: "initial exec, mov", kind: kind::TLS_SLOT32, field: 3, call: None,
        code: &[0x48, 0x8b, 0x0d, 0, 0, 0, 0],
        becomes: &["mov rcx,0FFFFFFFFFFFFFFC0h"],
    },
    Case {
        name: "initial exec, mov r12", kind: kind::TLS_SLOT32, field: 3, call: None,
        code: &[0x4c, 0x8b, 0x25, 0, 0, 0, 0],
        becomes: &["mov r12,0FFFFFFFFFFFFFFC0h"],
    },
    Case {
        name: "initial exec, add", kind: kind::TLS_SLOT32, field: 3, call: None,
        code: &[0x48, 0x03, 0x05, 0, 0, 0, 0],
        becomes: &["add rax,0FFFFFFFFFFFFFFC0h"],
    },
    Case {
        name: "initial exec, add r12", kind: kind::TLS_SLOT32, field: 3, call: None,
        code: &[0x4c, 0x03, 0x25, 0, 0, 0, 0],
        becomes: &["add r12,0FFFFFFFFFFFFFFC0h"],
    },
    Case {
        name: "descriptor", kind: kind::TLS_DESCRIPTOR32, field: 3, call: None,
        code: &[0x48, 0x8d, 0x05, 0, 0, 0, 0],
        becomes: &["mov rax,0FFFFFFFFFFFFFFC0h"],
    },
    Case {
        name: "call of a descriptor", kind: kind::TLS_DESCRIPTOR_CALL, field: 0, call: None,
        code: &[0xff, 0x10],
        becomes: &["xchg ax,ax"],
    },
];

fn disassemble(code: &[u8]) -> Vec<String> {
    let mut formatter = IntelFormatter::new();
    let decoder = Decoder::with_ip(64, code, 0, DecoderOptions::NONE);
    decoder
        .into_iter()
        .map(|instruction| {
            let mut text = String::new();
            formatter.format(&instruction, &mut text);
            text
        })
        .collect()
}

fn relax(case: &Case, code: &[u8]) -> Option<EdgeKind> {
    (MACHINE.tls.relax)(case.kind, code, case.field as u32, case.call)
}

#[test]
fn every_sequence_becomes_the_variables_distance() {
    for case in CASES {
        let to = relax(case, case.code).unwrap_or_else(|| panic!("{}: not recognized", case.name));
        let mut code = case.code.to_vec();
        let operands = Operands { symbol: -64_i64 as u64, addend: -4, place: 0xdead, ..Operands::default() };
        apply(&MACHINE, to, &mut code, case.field, &operands).unwrap_or_else(|error| panic!("{}: {error}", case.name));
        let mut found = disassemble(&code);
        // Operand sizes and prefixes of no-ops do not matter.
        for text in &mut found {
            if let Some(operand) = text.strip_prefix("nop ") {
                *text = format!("nop {}", operand.trim_start_matches("word ptr ").trim_start_matches("dword ptr "));
            }
            *text = text.replace("data16 ", "").replace("+0]", "]").replace("*1", "");
        }
        assert_eq!(found, case.becomes, "{}: {code:02x?}", case.name);
        assert_eq!(code.len(), case.code.len());
    }
}

#[test]
fn what_is_no_such_sequence_is_left_alone() {
    for case in CASES {
        let fields = [case.field..case.field + 4, case.call.map_or(0..0, |call| call as usize..case.code.len())];
        let large = case.call.filter(|call| case.code.len() > *call as usize + 8);
        for at in 0..case.code.len() {
            let in_field = case.kind != kind::TLS_DESCRIPTOR_CALL && fields[0].contains(&at)
                || fields[1].contains(&at) && large.is_none_or(|call| at < call as usize + 8);
            if in_field {
                continue;
            }
            let mut code = case.code.to_vec();
            // A bit that belongs to the opcode in all of these bytes but registers' and REX.R.
            code[at] ^= 0x40;
            assert_eq!(relax(case, &code), None, "{}: byte {at} changed", case.name);
        }
        for end in 0..case.code.len() {
            assert_eq!(relax(case, &case.code[..end]), None, "{}: cut at {end}", case.name);
        }
        if let Some(call) = case.call {
            for other in [None, Some(call - 1), Some(call + 1), Some(0)] {
                let found = (MACHINE.tls.relax)(case.kind, case.code, case.field as u32, other);
                assert_eq!(found, None, "{}: call at {other:?}", case.name);
            }
        }
    }
}

/// An object with `initialized` (8 bytes, aligned to 32) and `zero` (16 bytes), and code that accesses `target` as `sequence` says.
fn object(sequence: &[u8], relocations: &[(u64, elf::RelocationType, &str, i64)]) -> Vec<u8> {
    let mut object = Object::new(BinaryFormat::Elf, Architecture::X86_64, Endianness::Little);
    let symbol = |object: &mut Object<'_>, name: &str, section, kind, value| -> SymbolId {
        object.add_symbol(Symbol {
            name: name.into(),
            value,
            size: 8,
            kind,
            scope: SymbolScope::Dynamic,
            weak: false,
            section,
            flags: SymbolFlags::None,
        })
    };
    let text = object.section_id(StandardSection::Text);
    object.append_section_data(text, sequence, 16);
    symbol(&mut object, "code", SymbolSection::Section(text), SymbolKind::Text, 0);
    let data = object.section_id(StandardSection::Tls);
    object.append_section_data(data, &[7; 8], 32);
    let zeros = object.section_id(StandardSection::UninitializedTls);
    object.append_section_bss(zeros, 24, 8);
    let mut names = vec![
        ("initialized", symbol(&mut object, "initialized", SymbolSection::Section(data), SymbolKind::Tls, 0)),
        ("zero", symbol(&mut object, "zero", SymbolSection::Section(zeros), SymbolKind::Tls, 8)),
    ];
    for (offset, r_type, name, addend) in relocations {
        let known = names.iter().find(|(other, _)| other == name).map(|(_, id)| *id);
        let id = known.unwrap_or_else(|| {
            let kind = if *name == "__tls_get_addr" { SymbolKind::Text } else { SymbolKind::Tls };
            let id = symbol(&mut object, name, SymbolSection::Undefined, kind, 0);
            names.push((name, id));
            id
        });
        let flags = RelocationFlags::Elf { r_type: *r_type };
        let relocation = Relocation { offset: *offset, symbol: id, addend: *addend, flags };
        object.add_relocation(text, relocation).expect("a section");
    }
    object.write().expect("an object")
}

const BASE: u64 = 0x10_0000;
const STATIC: ThreadLocal = ThreadLocal { module: 1, offset: 0x1000, distance: Some(-0x200) };
const DYNAMIC: ThreadLocal = ThreadLocal { module: 9, offset: 0, distance: None };
const GET_ADDRESS: u64 = 0x20_0000;

/// The code after the link, and every word of the image behind it.
fn link(
    bytes: &[u8],
    memory: FlatMemory,
    plain: bool,
    outside: Option<ThreadLocal>,
) -> Result<(Vec<u8>, Vec<u64>), LinkError> {
    let mut graph = LinkGraph::new(&arch::x86_64::MACHINE);
    jitlink::object::read(&mut graph, "a.o", bytes, Default::default()).expect("an object");
    let options = LinkOptions { plain, ..LinkOptions::default() };
    let linked = Link::new(graph, options)
        .prune(&Roots::default())?
        .place(&memory)?
        .resolve(|external| match external.name {
            b"__tls_get_addr" => Some(Resolution::new(GET_ADDRESS, true)),
            _ => {
                assert!(external.thread_local);
                outside.map(Resolution::thread_local)
            }
        })?
        .finalize()?;
    if let Some(image) = linked.thread_local {
        assert_eq!((image.content_size, image.size, image.align), (8, 32, 32));
        assert_eq!(linked.allocation.at(image.address, 8), Some(&[7; 8][..]));
    }
    let code = linked.exports().find(|export| export.name == b"code").expect("the code");
    let start = (code.address - BASE) as usize;
    let words = linked.allocation.bytes[0x1000.min(linked.allocation.bytes.len())..].chunks_exact(8);
    let words = words.map(|word| u64::from_le_bytes(word.try_into().expect("eight bytes"))).collect();
    Ok((linked.allocation.bytes[start..start + 16].to_vec(), words))
}

const GENERAL: &[u8] = &[0x66, 0x48, 0x8d, 0x3d, 0, 0, 0, 0, 0x66, 0x66, 0x48, 0xe8, 0, 0, 0, 0];

fn general(name: &str) -> Vec<u8> {
    object(GENERAL, &[(4, elf::R_X86_64_TLSGD, name, -4), (12, elf::R_X86_64_PLT32, "__tls_get_addr", -4)])
}

fn memory(place: ThreadLocal) -> FlatMemory {
    FlatMemory::new(BASE).with_thread_local(place)
}

#[test]
fn own_variables_in_static_storage_are_constants() {
    for (name, distance) in [("initialized", "[rax-200h]"), ("zero", "[rax-1F0h]")] {
        let (code, _) = link(&general(name), memory(STATIC), false, None).expect("it links");
        assert_eq!(disassemble(&code), [LOAD.to_owned(), format!("lea rax,{distance}")]);
    }
}

#[test]
fn variables_in_dynamic_storage_keep_their_call_and_name_module_and_offset() {
    for (place, plain) in [(DYNAMIC, false), (STATIC, true)] {
        let (code, words) = link(&general("zero"), memory(place), plain, None).expect("it links");
        assert_eq!(code[..4], GENERAL[..4]);
        let pair = [place.module, place.offset + 16];
        assert!(words.windows(2).any(|words| words == pair), "{words:x?}");
        let call = i32::from_le_bytes(code[12..].try_into().expect("four bytes"));
        assert_eq!(BASE + 16 + call as u64, GET_ADDRESS);
    }
}

#[test]
fn variables_of_others_are_constants_where_they_can_be() {
    let there = ThreadLocal { module: 3, offset: 0x40, distance: Some(-0x88) };
    let (code, _) = link(&general("there"), memory(STATIC), false, Some(there)).expect("it links");
    assert_eq!(disassemble(&code), [LOAD, "lea rax,[rax-88h]"]);
    let late = ThreadLocal { distance: None, ..there };
    let (_, words) = link(&general("there"), memory(STATIC), false, Some(late)).expect("it links");
    assert!(words.windows(2).any(|words| words == [3, 0x40]), "{words:x?}");
}

#[test]
fn local_dynamic_offsets_count_from_what_the_code_has() {
    // lea x@tlsld(%rip), %rdi; call __tls_get_addr; mov zero@dtpoff(%rax), ...: here only its field
    let code = [0x48, 0x8d, 0x3d, 0, 0, 0, 0, 0xe8, 0, 0, 0, 0, 0, 0, 0, 0];
    let relocations = [
        (3, elf::R_X86_64_TLSLD, "initialized", -4),
        (8, elf::R_X86_64_PLT32, "__tls_get_addr", -4),
        (12, elf::R_X86_64_DTPOFF32, "zero", 2),
    ];
    let bytes = object(&code, &relocations);
    let offset = |code: &[u8]| i32::from_le_bytes(code[12..].try_into().expect("four bytes"));
    let (relaxed, _) = link(&bytes, memory(STATIC), false, None).expect("it links");
    assert_eq!(offset(&relaxed), -0x200 + 16 + 2);
    let (kept, words) = link(&bytes, memory(STATIC), true, None).expect("it links");
    assert_eq!(offset(&kept), 16 + 2);
    assert!(words.windows(2).any(|words| words == [STATIC.module, STATIC.offset]), "{words:x?}");
    let (kept, words) = link(&bytes, memory(DYNAMIC), false, None).expect("it links");
    assert_eq!(offset(&kept), 16 + 2);
    assert!(words.windows(2).any(|words| words == [DYNAMIC.module, 0]), "{words:x?}");
}

#[test]
fn an_initial_exec_access_of_another_instruction_keeps_its_slot() {
    // cmp slot(%rip), %rcx
    let bytes = object(&[0x48, 0x3b, 0x0d, 0, 0, 0, 0], &[(3, elf::R_X86_64_GOTTPOFF, "zero", -4)]);
    let (code, words) = link(&bytes, memory(STATIC), false, None).expect("it links");
    assert_eq!(code[..3], [0x48, 0x3b, 0x0d]);
    assert!(words.contains(&(-0x1f0_i64 as u64)), "{words:x?}");
}

#[test]
fn what_cannot_be_had_is_an_error_that_says_so() {
    let local_exec = object(&[0; 8], &[(0, elf::R_X86_64_TPOFF32, "zero", 0)]);
    let (code, _) = link(&local_exec, memory(STATIC), false, None).expect("it links");
    assert_eq!(code[..4], (-0x1f0_i32).to_le_bytes());
    let fail = |bytes: &[u8], memory| link(bytes, memory, false, None).expect_err("it cannot link").to_string();
    let text = fail(&local_exec, memory(DYNAMIC));
    assert!(text.contains("'zero'") && text.contains("local-exec") && text.contains("-fPIC"), "{text}");
    let text = fail(&general("zero"), FlatMemory::new(BASE));
    assert!(text.contains("a.o:(.text+0x4) in code") && text.contains("no thread-local storage"), "{text}");
    let descriptor = object(
        &[0x48, 0x8d, 0x05, 0, 0, 0, 0, 0xff, 0x10],
        &[(3, elf::R_X86_64_GOTPC32_TLSDESC, "zero", -4), (7, elf::R_X86_64_TLSDESC_CALL, "zero", 0)],
    );
    let text = fail(&descriptor, memory(DYNAMIC));
    assert!(text.contains("no function for descriptors"), "{text}");
    let ordinary = object(&[0; 8], &[(0, elf::R_X86_64_PC32, "zero", 0)]);
    let text = fail(&ordinary, memory(STATIC));
    assert!(text.contains("'zero' is thread-local where it is defined"), "{text}");
}
