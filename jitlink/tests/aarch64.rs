//! What becomes of aarch64's instructions: references to null, slots that are read or done without, thread-local accesses that stay.

use capstone::arch::arm64::ArchMode;
use capstone::prelude::*;
use jitlink::graph::LinkGraph;
use jitlink::memory::{FlatImage, ThreadLocal};
use jitlink::{FlatMemory, Link, LinkOptions, Linked, Resolution, Roots, arch};
use std::io::Write;
use std::process::{Command, Stdio};

const BASE: u64 = 0x7f12_3450_0000;
const GET_ADDRESS: u64 = BASE + 0x1_0000;

fn assemble(source: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().expect("a folder");
    let output = folder.path().join("out.o");
    let mut gcc = Command::new("aarch64-linux-gnu-gcc");
    gcc.args(["-c", "-x", "assembler", "-", "-o"]).arg(&output).stdin(Stdio::piped());
    let mut child = gcc.spawn().expect("gcc for aarch64 is installed (package gcc-aarch64-linux-gnu)");
    let text = format!(".text\n.globl code\n.type code, %function\ncode:\n{source}\n");
    child.stdin.take().expect("piped").write_all(text.as_bytes()).expect("gcc reads its input");
    assert!(child.wait().expect("gcc ends").success(), "gcc takes:\n{source}");
    std::fs::read(output).expect("gcc wrote it")
}

fn link(object: &[u8], thread_local: Option<ThreadLocal>, plain: bool) -> Result<Linked<'_, FlatImage>, String> {
    let mut graph = LinkGraph::new(&arch::aarch64::MACHINE);
    jitlink::object::read(&mut graph, "a.o", object, Default::default()).expect("a sound object");
    let text = |error: jitlink::LinkError| error.to_string();
    let memory = FlatMemory { thread_local, ..FlatMemory::new(BASE) };
    let pruned = Link::new(graph, LinkOptions { plain, ..LinkOptions::default() }).prune(&Roots::default());
    let placed = pruned.map_err(text)?.place(&memory).map_err(text)?;
    let find = |name: &[u8]| (name == b"__tls_get_addr").then(|| Resolution::new(GET_ADDRESS, true));
    placed.resolve(|external| find(external.name)).map_err(text)?.finalize().map_err(text)
}

/// The first instructions of `code` as text.
fn instructions(linked: &Linked<'_, FlatImage>, count: usize) -> Vec<String> {
    let start = linked.exports().find(|export| export.name == b"code").expect("exported").address;
    let bytes = linked.allocation.at(start, count * 4).expect("in the image");
    let decoder = Capstone::new().arm64().mode(ArchMode::Arm).build().expect("a decoder");
    let decoded = decoder.disasm_all(bytes, start).expect("instructions");
    let text = |one: &capstone::Insn<'_>| format!("{} {}", one.mnemonic().unwrap_or(""), one.op_str().unwrap_or(""));
    decoded.iter().map(|one| text(one).trim().to_owned()).collect()
}

/// The words that `adrp` and `ldr` or `add` at `number` lead to.
fn words(linked: &Linked<'_, FlatImage>, text: &[String], number: usize, count: usize) -> Vec<u64> {
    let hex = |text: &str| {
        let digits = text.rsplit('#').next().unwrap_or("").trim_end_matches(']');
        digits
            .strip_prefix("0x")
            .map_or_else(|| digits.parse().unwrap_or(0), |hex| u64::from_str_radix(hex, 16).unwrap_or(0))
    };
    assert!(text[number].starts_with("adrp "), "{text:?}");
    let low = if text[number + 1].contains('#') { hex(&text[number + 1]) } else { 0 };
    let bytes = linked.allocation.at(hex(&text[number]) + low, count * 8).expect("in the image");
    bytes.chunks_exact(8).map(|word| u64::from_le_bytes(word.try_into().expect("eight bytes"))).collect()
}

#[test]
fn null_is_what_the_abi_says() {
    let object = assemble(
        ".weak nobody
         bl nobody
         b nobody
         b.eq nobody
         cbz x1, nobody
         tbz x1, #3, nobody
         adrp x0, nobody
         add x0, x0, :lo12:nobody
         adr x2, nobody
         adrp x3, :got:nobody
         ldr x3, [x3, :got_lo12:nobody]
         ret",
    );
    let linked = link(&object, None, false).expect("weak");
    let text = instructions(&linked, 11);
    assert_eq!(text[..5], ["nop"; 5], "a branch to null goes on behind it");
    assert_eq!(text[5..8], ["mov x0, #0", "add x0, x0, #0", "mov x2, #0"]);
    assert_eq!(words(&linked, &text, 8, 1), [0]);
}

#[test]
fn a_slot_is_done_without_if_every_piece_can() {
    let source = |odd: &str| {
        format!(
            "adrp x0, :got:near
             mov x5, x6
             ldr x1, [x0, :got_lo12:near]
             ldr x2, [x0, :got_lo12:near]
             {odd}
             ret
             .data
             .globl near
             .balign 16
             .byte 0
             near: .byte 1"
        )
    };
    let object = assemble(&source("nop"));
    let linked = link(&object, None, false).expect("it links");
    let near = |linked: &Linked<'_, FlatImage>| {
        linked.exports().find(|export| export.name == b"near").expect("exported").address
    };
    let text = instructions(&linked, 4);
    assert_eq!(text[0], format!("adrp x0, #{:#x}", near(&linked) & !0xfff));
    assert_eq!((&*text[2], &*text[3]), ("add x1, x0, #1", "add x2, x0, #1"));
    for (odd, plain) in [("ldr xzr, [x0, :got_lo12:near]", false), ("nop", true)] {
        let object = assemble(&source(odd));
        let linked = link(&object, None, plain).expect("it links");
        let text = instructions(&linked, 4);
        assert!(text[2].starts_with("ldr x1, [x0") && text[3].starts_with("ldr x2, [x0"), "{text:?}");
        let moved = [text[0].clone(), text[2].clone()];
        assert_eq!(words(&linked, &moved, 0, 1), [near(&linked)]);
    }
}

const VARIABLES: &str = "
    .section .tbss, \"awT\", %nobits
    .globl v, w
    .type v, %object
    .type w, %object
    .balign 16
    w: .zero 8
    v: .zero 8";
const STATIC: ThreadLocal = ThreadLocal { module: 1, offset: 0x40, distance: Some(0x1_2340) };
const DYNAMIC: ThreadLocal = ThreadLocal { module: 9, offset: 0x40, distance: None };

#[test]
fn general_dynamic_accesses_become_constants_or_keep_their_call() {
    let source = "adrp x0, :tlsgd:v
        add x0, x0, :tlsgd_lo12:v
        bl __tls_get_addr
        nop
        ret";
    let object = assemble(&format!("{source}{VARIABLES}"));
    let linked = link(&object, Some(STATIC), false).expect("it links");
    let text = instructions(&linked, 4);
    assert_eq!(text, ["mov x0, #0x10000", "movk x0, #0x2348", "mrs x1, tpidr_el0", "add x0, x1, x0"]);
    for (place, plain) in [(DYNAMIC, false), (STATIC, true)] {
        let linked = link(&object, Some(place), plain).expect("it links");
        let text = instructions(&linked, 4);
        assert_eq!((&*text[2], &*text[3]), (&*format!("bl #{GET_ADDRESS:#x}"), "nop"));
        assert_eq!(words(&linked, &text, 0, 2), [place.module, 0x48]);
    }
}

#[test]
fn local_dynamic_offsets_count_from_what_the_code_has() {
    let source = "adrp x0, :tlsldm:v
        add x0, x0, :tlsldm_lo12_nc:v
        bl __tls_get_addr
        add x1, x0, :dtprel_hi12:v, lsl #12
        add x1, x1, :dtprel_lo12_nc:v
        ret";
    let object = assemble(&format!("{source}{VARIABLES}"));
    let linked = link(&object, Some(STATIC), false).expect("it links");
    let text = instructions(&linked, 5);
    assert_eq!(text, ["mrs x0, tpidr_el0", "nop", "nop", "add x1, x0, #0x12, lsl #12", "add x1, x1, #0x348"]);
    let linked = link(&object, Some(DYNAMIC), false).expect("it links");
    let text = instructions(&linked, 5);
    assert_eq!(text[2], format!("bl #{GET_ADDRESS:#x}"));
    assert_eq!(text[3..], ["add x1, x0, #0, lsl #12", "add x1, x1, #8"]);
    assert_eq!(words(&linked, &text, 0, 2), [DYNAMIC.module, DYNAMIC.offset]);
}

#[test]
fn initial_exec_accesses_become_constants_if_every_piece_of_the_variable_can() {
    let source = "adrp x0, :gottprel:w
        ldr x0, [x0, :gottprel_lo12:w]
        adrp x2, :gottprel:v
        ldr x2, [x2, :gottprel_lo12:v]
        adrp x3, :gottprel:v
        ldr x4, [x3, :gottprel_lo12:v]
        ret";
    let object = assemble(&format!("{source}{VARIABLES}"));
    let linked = link(&object, Some(STATIC), false).expect("it links");
    let text = instructions(&linked, 6);
    assert_eq!(text[..2], ["mov x0, #0x10000", "movk x0, #0x2340"]);
    assert_eq!(words(&linked, &text, 2, 1), [0x1_2348]);
    assert_eq!(words(&linked, &text, 4, 1), [0x1_2348]);
    let error = link(&object, Some(DYNAMIC), false).expect_err("no constant distance");
    assert!(error.contains("initial-exec") && error.contains("-fPIC"), "{error}");
}

#[test]
fn descriptors_become_constants_or_say_what_is_missing() {
    let source = "adrp x0, :tlsdesc:v
        ldr x1, [x0, :tlsdesc_lo12:v]
        add x0, x0, :tlsdesc_lo12:v
        .tlsdesccall v
        blr x1
        ret";
    let object = assemble(&format!("{source}{VARIABLES}"));
    let linked = link(&object, Some(STATIC), false).expect("it links");
    assert_eq!(instructions(&linked, 4), ["mov x0, #0x10000", "movk x0, #0x2348", "nop", "nop"]);
    let error = link(&object, Some(DYNAMIC), false).expect_err("this memory has no such function");
    assert!(error.contains("no function for descriptors"), "{error}");
}

#[test]
fn marks_of_code_and_data_are_no_names() {
    let object = assemble("ret\n.word 5\n.size code, . - code");
    let linked = link(&object, None, false).expect("it links");
    let names: Vec<&[u8]> = linked.graph().symbols().iter().map(|symbol| symbol.name).collect();
    assert!(names.contains(&&b"code"[..]) && !names.iter().any(|name| name.starts_with(b"$")), "{names:?}");
}
