//! Relocations that mean something only together: padding, distances, upper and lower bits.

use super::tools::{Way, address, assemble, bytes, compile, link, number, pair};
use jitlink::graph::LinkGraph;
use jitlink::{LinkOptions, arch};

const BASE: u64 = 0x10_0000;

fn linked(source: &str, check: impl FnOnce(&jitlink::Linked<'_, jitlink::memory::FlatImage>)) {
    let objects = [assemble(source)];
    check(&link(&objects, &Way::at(BASE)).unwrap_or_else(|error| panic!("{error}")));
}

#[test]
fn padding_is_as_long_as_alignment_needs() {
    // Four bytes of code, fourteen of padding of which twelve are needed; then two, and six of which four are.
    linked(
        ".globl f, g, h, end, table\n.text\nf: .option push\n.option norvc\n nop\n.option pop\n.p2align 4\ng: c.nop\n.p2align 3\nh: ret\nend:\n\
         .size f, end - f\n.data\ntable: .quad end - f, h - g, end\n .word h - f\n",
        |linked| {
            let at = |name| address(linked, name) - address(linked, "f");
            assert_eq!([at("g"), at("h"), at("end")], [16, 24, 26]);
            assert_eq!(address(linked, "f") % 16, 0, "the block is aligned for what is in it");
            let nops = [[0x13, 0, 0, 0]; 4].concat();
            assert_eq!(bytes(linked, "f", 16), nops);
            assert_eq!(bytes(linked, "g", 8), [1, 0, 1, 0, 0x13, 0, 0, 0], "what is needed stays as it is");
            let table: Vec<u64> = bytes(linked, "table", 24).chunks(8).map(number).collect();
            assert_eq!(table, [26, 8, address(linked, "end")]);
            assert_eq!(number(&bytes(linked, "table", 28)[24..]), 24);
            let graph = linked.graph();
            let f = graph.symbol(graph.find(b"f").expect("f"));
            assert_eq!(f.size, 26, "deleted bytes are nobody's");
        },
    );
}

#[test]
fn what_comes_behind_deleted_padding_refers_to_what_it_did() {
    linked(
        ".globl f, loop, datum, far\n.text\nf: c.nop\n.p2align 4\nloop: la a0, datum\n lw a1, datum\n sw a1, datum, t0\n call far\n j loop\n\
         .p2align 5\nfar: bnez a0, far\n ret\n.data\n.skip 40\ndatum: .quad far + 2\n",
        |linked| {
            let (start, datum) = (address(linked, "loop"), address(linked, "datum"));
            assert_eq!((start % 16, address(linked, "far") % 32), (0, 0));
            let code = bytes(linked, "loop", 36);
            let relative = |at: usize, to: u64| to.wrapping_sub(start + at as u64) as i64;
            // `la` loads from a slot, which it need not where linkers may shorten code; the others are direct.
            assert_eq!(pair(code, 8, 12), relative(8, datum));
            assert_eq!(pair(code, 16, 20), relative(16, datum));
            assert_eq!(pair(code, 24, 28), relative(24, address(linked, "far")));
            assert_eq!(number(bytes(linked, "datum", 8)), address(linked, "far") + 2);
        },
    );
}

#[test]
fn lower_bits_find_their_upper_ones_wherever_these_are() {
    // One `auipc` for two loads and a store, behind them in the text; one behind its load.
    linked(
        ".globl f, x, y\n.text\nf: j 2f\n1: lw a0, %pcrel_lo(3f)(a5)\n lw a1, %pcrel_lo(3f)(a5)\n sw a0, %pcrel_lo(3f)(a5)\n ret\n\
         2: .p2align 3\n3: auipc a5, %pcrel_hi(x)\n j 1b\n.data\n.skip 0x7fc\nx: .word 7\ny: .word 8\n",
        |linked| {
            let code = bytes(linked, "f", 40).to_vec();
            let upper = (0..40).step_by(2).find(|at| code[*at] == 0x97 && code[at + 1] & 0xf == 7).expect("auipc a5");
            let place = address(linked, "f") + upper as u64;
            let x = address(linked, "x").wrapping_sub(place) as i64;
            let jump = if code[0] & 3 == 3 { 4 } else { 2 };
            assert_eq!([0, 4, 8].map(|at| pair(&code, upper, jump + at)), [x, x, x]);
        },
    );
}

#[test]
fn distances_of_which_only_one_end_is_here_count_from_the_field() {
    linked(
        ".globl f, table\n.text\nf: ret\n.section .rodata,\"a\"\ntable: .word f - .\n.word 5 + f - table\n.quad f - table\n",
        |linked| {
            let distance = address(linked, "f").wrapping_sub(address(linked, "table"));
            let table = bytes(linked, "table", 16);
            assert_eq!(number(&table[..4]) as u32, distance as u32);
            assert_eq!(number(&table[4..8]) as u32, distance as u32 + 5);
            assert_eq!(number(&table[8..]), distance);
        },
    );
}

#[test]
fn distances_between_two_other_sections_are_added_and_subtracted_in_place() {
    linked(
        ".globl f, g, table\n.section .text.f,\"ax\"\nf: ret\n.section .text.g,\"ax\"\ng: ret\n\
         .data\ntable: .quad g - f\n.word f - g\n.half g - f + 3\n.byte g - f\n",
        |linked| {
            let distance = address(linked, "g").wrapping_sub(address(linked, "f"));
            assert_ne!(distance, 0);
            let table = bytes(linked, "table", 15);
            assert_eq!(number(&table[..8]), distance);
            assert_eq!(number(&table[8..12]) as u32, (distance as u32).wrapping_neg());
            assert_eq!(number(&table[12..14]) as u16, distance as u16 + 3);
            assert_eq!(table[14], distance as u8);
        },
    );
}

#[test]
fn uleb128_distances_keep_their_length() {
    linked(
        ".globl f, table\n.text\nf: nop\n.Lstart: .p2align 4\n.rept 100\n call f\n.endr\n.Lend: ret\n\
         .section .rodata,\"a\"\ntable: .uleb128 .Lend - .Lstart\n.byte 0xaa\n",
        |linked| {
            let table = bytes(linked, "table", 3);
            let value = u64::from(table[0] & 0x7f) | u64::from(table[1]) << 7;
            assert_eq!((value, table[2]), (812 - if bytes(linked, "f", 2) == [1, 0] { 0 } else { 2 } + 2, 0xaa));
        },
    );
}

#[test]
fn what_cannot_be_settled_is_told() {
    let refused = |source: &str| {
        let object = assemble(source);
        let mut graph = LinkGraph::new(&arch::riscv64::MACHINE);
        let read = jitlink::object::read(&mut graph, "bad.o", &object, Default::default());
        read.expect_err("a relocation without its like").to_string()
    };
    assert_eq!(
        refused(".text\n.L: nop\n.reloc ., R_RISCV_PCREL_LO12_I, .L\nlw a0, 0(a0)\n"),
        "bad.o: section .text+0x2: malformed: R_RISCV_PCREL_LO12_I names no instruction of this section with upper bits"
    );
    let text =
        refused(".text\n.reloc ., R_RISCV_SET_ULEB128, f\n.reloc ., R_RISCV_SUB_ULEB128, g\n.byte 0x80, 0, 0, 0\n");
    assert!(text.ends_with("R_RISCV_SET_ULEB128 is no distance between two labels of one section"), "{text}");
    let text = refused(".text\n.reloc ., R_RISCV_SUB_ULEB128, g\n.byte 0x80, 0, 0, 0\n");
    assert!(text.ends_with("R_RISCV_SUB_ULEB128 has no R_RISCV_SET_ULEB128 before it"), "{text}");
    let text = refused(".text\n.reloc ., R_RISCV_ALIGN, 6\n nop\n");
    assert!(text.contains("reach beyond the section's"), "{text}");
    let text = refused(".text\n.reloc ., R_RISCV_COPY, g\n nop\n");
    assert!(text.contains("unknown or unsupported relocation R_RISCV_COPY (type 4"), "{text}");
    let text = refused(".text\n.L: auipc a0, %got_pcrel_hi(g)\n.reloc ., R_RISCV_PCREL_LO12_S, .L\nsw a0, 0(a0)\n");
    assert!(text.ends_with("R_RISCV_PCREL_LO12_S cannot belong to R_RISCV_GOT_HI20"), "{text}");
}

#[test]
fn loads_of_slots_become_additions_where_the_symbol_is_in_reach() {
    let source = ".option pic\n.globl f, x\n.text\nf: la a0, x\n ret\n.data\nx: .quad 1\n";
    let objects = [compile("clang-19", "assembler", &["-march=rv64gc", "-fPIC"], source)];
    for (plain, load) in [(false, 0x13), (true, 0x03)] {
        let options = LinkOptions { plain, ..LinkOptions::default() };
        let linked = link(&objects, &Way { options, ..Way::at(BASE) }).unwrap_or_else(|error| panic!("{error}"));
        let code = bytes(&linked, "f", 8);
        assert_eq!(code[4] & 0x7f, load, "{plain}");
        let place = address(&linked, "f").wrapping_add_signed(pair(code, 0, 4));
        let found = if plain { number(linked.allocation.at(place, 8).expect("a slot")) } else { place };
        assert_eq!(found, address(&linked, "x"));
    }
}

#[test]
fn a_weak_name_that_nobody_defines_is_null_wherever_the_code_is() {
    let objects = [assemble(".weak w\n.globl f\n.text\nf: lla a0, w\n lw a1, w\n sw a1, w, t0\n call w\n ret\n")];
    for base in [BASE, 0x3f_0000_0000] {
        let linked = link(&objects, &Way::at(base)).unwrap_or_else(|error| panic!("{error}"));
        let code = bytes(&linked, "f", 32);
        let place = |at: usize| {
            let upper = number(&code[at..at + 4]) & 0x7f;
            let from = if upper == 0x17 { address(&linked, "f") + at as u64 } else { 0 };
            from.wrapping_add_signed(pair(code, at, at + 4))
        };
        assert_eq!([place(0), place(8), place(16)], [0; 3], "{base:#x}");
        // The call goes to null, or to a stub that goes there.
        if base == BASE {
            assert_eq!(place(24), 0);
        } else {
            let stub = place(24);
            let code = linked.allocation.at(stub, 12).expect("a stub");
            let slot = linked.allocation.at(stub.wrapping_add_signed(pair(code, 0, 4)), 8).expect("a slot");
            assert_eq!(number(slot), 0);
        }
    }
}

#[test]
fn functions_out_of_reach_are_called_through_a_stub() {
    let objects = [assemble(
        ".globl f\n.text\nf: call far\n jal far\n tail far\n.data\n.globl d\nd: .quad far\n.word far@plt - .\n",
    )];
    let far = [("far", 0x3f_1234_5678)];
    let linked = link(&objects, &Way { externals: &far, ..Way::at(BASE) }).unwrap_or_else(|error| panic!("{error}"));
    let code = bytes(&linked, "f", 20);
    let stub = address(&linked, "f").wrapping_add_signed(pair(code, 0, 4));
    let target = |stub: u64| {
        let code = linked.allocation.at(stub, 12).expect("a stub");
        number(linked.allocation.at(stub.wrapping_add_signed(pair(code, 0, 4)), 8).expect("a slot"))
    };
    assert_eq!(target(stub), far[0].1);
    let tail = if code[8] & 3 == 3 { 12 } else { 10 };
    assert_eq!(address(&linked, "f").wrapping_add_signed(tail as i64 + pair(code, tail, tail + 4)), stub);
    let data = bytes(&linked, "d", 12);
    assert_eq!(number(&data[..8]), far[0].1, "an address is what it is");
    let place = address(&linked, "d") + 8;
    assert_eq!(place.wrapping_add_signed(i64::from(number(&data[8..]) as i32)), stub);
}
