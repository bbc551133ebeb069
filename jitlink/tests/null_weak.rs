//! What does code see of a weak symbol that nobody defines, when null is farther away than its instructions reach?

use iced_x86::{Code, Decoder, DecoderOptions, Instruction, Register};
use jitlink::graph::LinkGraph;
use jitlink::memory::FlatImage;
use jitlink::{FlatMemory, Link, LinkOptions, Linked, Roots, arch};
use object::elf::{R_X86_64_GOTPCREL, R_X86_64_PC32, R_X86_64_PLT32, RelocationType};
use object::write::{Object, Relocation, StandardSection, Symbol, SymbolSection};
use object::{Architecture, BinaryFormat, Endianness, RelocationFlags, SymbolFlags, SymbolKind, SymbolScope};

const BASE: u64 = 0x7f12_3450_0000;

/// An object with `code` as its text and a reference of each type to the weak `nobody`, at the offset, addend -4.
fn object(code: &[u8], references: &[(u64, RelocationType)]) -> Vec<u8> {
    let mut object = Object::new(BinaryFormat::Elf, Architecture::X86_64, Endianness::Little);
    let text = object.section_id(StandardSection::Text);
    object.append_section_data(text, code, 16);
    let mut symbol = |name: &[u8], weak, section| {
        let (name, kind, scope) = (name.into(), SymbolKind::Text, SymbolScope::Dynamic);
        object.add_symbol(Symbol { name, value: 0, size: 0, kind, scope, weak, section, flags: SymbolFlags::None })
    };
    symbol(b"code", false, SymbolSection::Section(text));
    let nobody = symbol(b"nobody", true, SymbolSection::Undefined);
    for &(offset, r_type) in references {
        let flags = RelocationFlags::Elf { r_type };
        object.add_relocation(text, Relocation { offset, symbol: nobody, addend: -4, flags }).expect("of ELF");
    }
    object.write().expect("a sound object")
}

fn link(object: &[u8]) -> Linked<'_, FlatImage> {
    let mut graph = LinkGraph::new(&arch::x86_64::MACHINE);
    jitlink::object::read(&mut graph, "weak.o", object, Default::default()).expect("a sound object");
    let link = Link::new(graph, LinkOptions::default()).prune(&Roots::default()).expect("nothing is missing");
    let placed = link.place(&FlatMemory::new(BASE)).expect("memory");
    let resolved = placed.resolve(|external| {
        assert_eq!((external.name, external.weak), (&b"nobody"[..], true));
        None
    });
    resolved.expect("weak").finalize().expect("every reference can be written")
}

/// The instructions of `code` once it is linked, and the image.
fn instructions(code: &[u8], references: &[(u64, RelocationType)]) -> (Vec<Instruction>, FlatImage) {
    let object = object(code, references);
    let linked = link(&object);
    let start = linked.exports().find(|export| export.name == b"code").expect("exported").address;
    let text = linked.allocation.at(start, code.len()).expect("in the image");
    (Decoder::with_ip(64, text, start, DecoderOptions::NONE).into_iter().collect(), linked.allocation.clone())
}

fn word_at(image: &FlatImage, address: u64) -> u64 {
    u64::from_le_bytes(image.at(address, 8).expect("in the image").try_into().expect("eight bytes"))
}

#[test]
fn its_address_is_null() {
    #[rustfmt::skip]
    let code = [
        0x48, 0x8d, 0x05, 0, 0, 0, 0,   // lea nobody(%rip), %rax
        0x4c, 0x8d, 0x3d, 0, 0, 0, 0,   // lea nobody(%rip), %r15
        0xff, 0xd5,                     // call *%rbp
        0x48, 0x8d, 0x0d, 0, 0, 0, 0,   // lea nobody(%rip), %rcx
        0x48, 0x8b, 0x15, 0, 0, 0, 0,   // mov nobody@GOTPCREL(%rip), %rdx
    ];
    let references = [(3, R_X86_64_PC32), (10, R_X86_64_PC32), (19, R_X86_64_PC32), (26, R_X86_64_GOTPCREL)];
    let (instructions, image) = instructions(&code, &references);
    let [rax, r15, _, rcx, rdx] = instructions[..] else { panic!("{instructions:?}") };
    for (instruction, register) in [(rax, Register::RAX), (r15, Register::R15)] {
        assert_eq!(instruction.code(), Code::Mov_rm64_imm32);
        assert_eq!((instruction.op0_register(), instruction.immediate32to64()), (register, 0));
    }
    for (instruction, register) in [(rcx, Register::RCX), (rdx, Register::RDX)] {
        assert_eq!(instruction.code(), Code::Mov_r64_rm64);
        assert_eq!(instruction.op0_register(), register);
        assert_eq!(word_at(&image, instruction.ip_rel_memory_address()), 0);
    }
}

#[test]
fn calling_it_jumps_to_null_and_reading_it_stays_an_instruction() {
    #[rustfmt::skip]
    let code = [
        0xe8, 0, 0, 0, 0,               // call nobody
        0x8b, 0x05, 0, 0, 0, 0,         // mov nobody(%rip), %eax
    ];
    let (instructions, image) = instructions(&code, &[(1, R_X86_64_PLT32), (7, R_X86_64_PC32)]);
    let [call, mov] = instructions[..] else { panic!("{instructions:?}") };
    assert_eq!(call.code(), Code::Call_rel32_64);
    let stub = image.at(call.near_branch64(), 6).expect("a stub in the image");
    let jump = Decoder::with_ip(64, stub, call.near_branch64(), DecoderOptions::NONE).decode();
    assert_eq!(jump.code(), Code::Jmp_rm64);
    assert_eq!(word_at(&image, jump.ip_rel_memory_address()), 0);

    assert_eq!(mov.code(), Code::Mov_r32_rm32);
    assert_eq!(mov.ip_rel_memory_address() as u32, 0, "a multiple of 4 GiB");
}
