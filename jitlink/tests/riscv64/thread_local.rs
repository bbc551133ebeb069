//! Does every access to a thread-local variable read that variable, rewritten or not?

use super::tools::{Way, address, assemble, bytes, compile, link, number, pair, storage};
use jitlink::memory::{FlatImage, ThreadLocal};
use jitlink::{FlatMemory, LinkOptions, Linked};

const BASE: u64 = 0x10_0000;
/// What `__tls_get_addr` adds to offsets.
const BIAS: u64 = 0x800;

const SOURCE: &str = ".globl le, ie, gd, x, __tls_get_addr
.text
le: lui a0, %tprel_hi(x)
 add a0, a0, tp, %tprel_add(x)
 addi a1, a0, %tprel_lo(x)
 sw a1, %tprel_lo(x)(a0)
 ret
.p2align 3
ie: la.tls.ie a5, x
 add a5, a5, tp
 ret
.p2align 3
gd: la.tls.gd a0, x
 call __tls_get_addr
 ret
.p2align 3
__tls_get_addr: ret
.section .tdata,\"awT\"
.skip 0x1804
x: .word 7
";

fn linked(place: ThreadLocal, plain: bool, check: impl FnOnce(&Linked<'_, FlatImage>)) {
    let objects = [assemble(SOURCE)];
    let options = LinkOptions { plain, ..LinkOptions::default() };
    let way = Way { options, memory: FlatMemory::new(BASE).with_thread_local(place), ..Way::at(BASE) };
    check(&link(&objects, &way).unwrap_or_else(|error| panic!("{error}")));
}

/// The words that `auipc` at `at` of the code at `name` and the instruction behind it name.
fn slots<const N: usize>(linked: &Linked<'_, FlatImage>, name: &str, at: usize) -> [u64; N] {
    let place = address(linked, name) + at as u64;
    let slot = place.wrapping_add_signed(pair(bytes(linked, name, at + 8), at, at + 4));
    let words = linked.allocation.at(slot, 8 * N).expect("slots");
    std::array::from_fn(|word| number(&words[8 * word..8 * word + 8]))
}

fn opcode(code: &[u8], at: usize) -> u8 {
    code[at] & 0x7f
}

#[test]
fn constant_distances_are_in_the_code() {
    for plain in [false, true] {
        linked(storage(0x40), plain, |linked| {
            let code = bytes(linked, "le", 16);
            // `lui a0`, `add`, then both with the lower bits; nothing is compressed, since it has relocations.
            assert_eq!([pair(code, 0, 8), pair(code, 0, 12)], [0x1844; 2]);
        });
    }
}

#[test]
fn accesses_of_other_models_become_constants() {
    linked(storage(0x40), false, |linked| {
        let ie = bytes(linked, "ie", 8);
        assert_eq!((opcode(ie, 0), opcode(ie, 4), pair(ie, 0, 4)), (0x37, 0x13, 0x1844), "lui a5; addi a5, a5");
        let gd = bytes(linked, "gd", 16);
        assert_eq!((opcode(gd, 0), opcode(gd, 4), pair(gd, 0, 4)), (0x37, 0x13, 0x1844), "lui a0; addi a0, a0");
        assert_eq!(gd[8..], [0x33, 0x05, 0x45, 0x00, 0x13, 0, 0, 0], "add a0, a0, tp; nop");
    });
}

#[test]
fn what_is_not_rewritten_reads_its_slots() {
    linked(storage(0x40), true, |linked| {
        assert_eq!(slots(linked, "ie", 0), [0x1844]);
        assert_eq!(slots(linked, "gd", 0), [1, 0x1804 - BIAS]);
        let call = address(linked, "gd").wrapping_add_signed(8 + pair(bytes(linked, "gd", 16), 8, 12));
        assert_eq!(call, address(linked, "__tls_get_addr"));
    });
}

#[test]
fn storage_at_no_constant_distance_is_reached_through_pairs() {
    let objects = [assemble(
        ".globl gd, x, __tls_get_addr\n.text\ngd: la.tls.gd a0, x\n call __tls_get_addr\n ret\n__tls_get_addr: ret\n\
         .section .tdata,\"awT\"\n.word 1\nx: .word 7\n",
    )];
    let place = ThreadLocal { module: 9, offset: 0x100, distance: None };
    let way = Way { memory: FlatMemory::new(BASE).with_thread_local(place), ..Way::at(BASE) };
    let linked = link(&objects, &way).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(slots(&linked, "gd", 0), [9, 0x104_u64.wrapping_sub(BIAS)]);
}

#[test]
fn sequences_that_are_not_the_expected_ones_are_left_alone() {
    // Something between the address and the call; the slot loaded in four bytes of which nobody knows more.
    let objects = [assemble(
        ".globl gd, ie, x, __tls_get_addr\n.text\ngd: la.tls.gd a0, x\n nop\n call __tls_get_addr\n ret\n__tls_get_addr: ret\n\
         .p2align 3\nie: 1: auipc a0, %tls_ie_pcrel_hi(x)\n lw a0, %pcrel_lo(1b)(a0)\n ret\n.section .tdata,\"awT\"\nx: .word 7\n",
    )];
    let way = Way { memory: FlatMemory::new(BASE).with_thread_local(storage(0x40)), ..Way::at(BASE) };
    let linked = link(&objects, &way).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(opcode(bytes(&linked, "gd", 8), 0), 0x17, "auipc");
    assert_eq!(slots(&linked, "ie", 0), [0x40]);
}

#[test]
fn descriptors_become_constants() {
    let source = "extern _Thread_local int x; int f(void) { return x; } _Thread_local int x = 3, y = 4; int *g(void) { return &y; }";
    let objects = [compile("clang-19", "c", &["-O2", "-fPIC", "-march=rv64gc", "-mtls-dialect=desc"], source)];
    let way = Way { memory: FlatMemory::new(BASE).with_thread_local(storage(0x1810)), ..Way::at(BASE) };
    let linked = link(&objects, &way).unwrap_or_else(|error| panic!("{error}"));
    let code = bytes(&linked, "g", 16);
    // nop; nop; lui a0; addi a0, a0
    assert_eq!(code[..8], [0x13, 0, 0, 0, 0x13, 0, 0, 0]);
    assert_eq!((opcode(code, 8), opcode(code, 12), pair(code, 8, 12)), (0x37, 0x13, 0x1814));
}

#[test]
fn data_counts_from_where_the_function_counts_from() {
    let source = ".globl d, x\n.data\nd: .dtpreldword x + 0x800\n.section .tdata,\"awT\"\nx: .word 7\n";
    let objects = [compile("riscv64-linux-gnu-gcc", "assembler", &[], source)];
    let place = ThreadLocal { module: 3, offset: 0x20, distance: None };
    let way = Way { memory: FlatMemory::new(BASE).with_thread_local(place), ..Way::at(BASE) };
    let linked = link(&objects, &way).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(number(bytes(&linked, "d", 8)), 0x20);
}
