//! Does loongarch64's code say what the psABI says, as LLVM's disassembler reads it? What real compilers' code comes out as is `real_code`'s to compare.

#[path = "support/mod.rs"]
mod support;

use jitlink::arch::loongarch64::{MACHINE, kind};
use jitlink::fixup::{FixupError, Operands, apply};
use jitlink::graph::EdgeKind;
use jitlink::memory::{FlatImage, ThreadLocal};
use jitlink::{FlatMemory, Link, LinkGraph, LinkOptions, Linked, Roots};
use std::io::Write as _;
use std::process::{Command, Stdio};
use support::compile_with;

/// What LLVM prints for each of `instructions`.
fn disassembled(instructions: &[[u8; 4]]) -> Vec<String> {
    let bytes = |code: &[u8; 4]| code.iter().map(|byte| format!("{byte:#x} ")).collect::<String>();
    let input = instructions.iter().map(|code| bytes(code) + "\n").collect::<String>();
    let mut child = Command::new("llvm-mc-19")
        .args(["--disassemble", "--triple=loongarch64"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("llvm-mc-19");
    child.stdin.take().expect("a pipe").write_all(input.as_bytes()).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && *line != ".text");
    lines.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

/// A row, an instruction for it, how that is printed before its operand, and what the operand is.
struct Rule {
    kind: EdgeKind,
    code: [u8; 4],
    text: &'static str,
    /// The operand for a value of the expression, and the address of the instruction.
    operand: fn(value: i64, place: i64) -> i64,
    /// The smallest and the largest value, and what it is a multiple of; whether it is checked.
    ends: (i64, i64),
    align: i64,
    checked: bool,
}

const PLACE: u64 = 0x7000_1234;
const PAGE: i64 = 1 << 12;

fn same(value: i64, _: i64) -> i64 {
    value
}

/// Pages between the one of the instruction and the one of `value`, once that is rounded.
fn pages(value: i64, place: i64) -> i64 {
    (value + PAGE / 2).div_euclid(PAGE) - place.div_euclid(PAGE)
}

fn low(value: i64, _: i64) -> i64 {
    (value + PAGE / 2).rem_euclid(PAGE) - PAGE / 2
}

fn rules() -> Vec<Rule> {
    let signed = |bits: u32| (-(1i64 << (bits - 1)), (1i64 << (bits - 1)) - 1);
    let place = PLACE as i64 / PAGE * PAGE;
    let near = (place - (1 << 31) - PAGE / 2, place + (1 << 31) - PAGE / 2 - 1);
    let rule =
        |kind, code, text, operand, ends, align, checked| Rule { kind, code, text, operand, ends, align, checked };
    vec![
        rule(kind::BRANCH16, [0x85, 0, 0, 0x58], "beq $a0, $a1, ", same, signed(18), 4, true),
        rule(kind::BRANCH21, [0x80, 0, 0, 0x40], "beqz $a0, ", same, signed(23), 4, true),
        rule(kind::BRANCH26, [0, 0, 0, 0x54], "bl ", same, signed(28), 4, true),
        rule(kind::WORDS20, [0x04, 0, 0, 0x18], "pcaddi $a0, ", |value, _| value / 4, signed(22), 4, true),
        rule(kind::ABS_HI20, [0x04, 0, 0, 0x14], "lu12i.w $a0, ", |value, _| value >> 12, signed(32), 1, true),
        rule(kind::LO12, [0x84, 0, 0xc0, 0x02], "addi.d $a0, $a0, ", low, (i64::MIN, i64::MAX - PAGE), 1, false),
        rule(kind::PAGE_HI20, [0x04, 0, 0, 0x1a], "pcalau12i $a0, ", pages, near, 1, true),
        rule(kind::GOT_PAGE_HI20, [0x04, 0, 0, 0x1a], "pcalau12i $a0, ", pages, near, 1, true),
        rule(kind::GOT_LO12, [0x84, 0, 0xc0, 0x28], "ld.d $a0, $a0, ", low, (i64::MIN, i64::MAX - PAGE), 1, false),
        rule(kind::TLS_KEPT_PAGE, [0x04, 0, 0, 0x1a], "pcalau12i $a0, ", pages, near, 1, true),
        rule(kind::TLS_KEPT_LO12, [0x84, 0, 0xc0, 0x28], "ld.d $a0, $a0, ", low, (i64::MIN, i64::MAX - PAGE), 1, false),
    ]
}

/// Operands of which every expression has this value, or this address where it counts pages.
fn operands(rule: &Rule, value: i64) -> Operands {
    let relative = [kind::BRANCH16, kind::BRANCH21, kind::BRANCH26, kind::WORDS20].contains(&rule.kind);
    let to = if relative { PLACE.wrapping_add_signed(value) } else { value as u64 };
    // Some of it is the addend.
    let to = to.wrapping_sub(0x123);
    Operands { symbol: to, branch: to, slot: to, place: PLACE, addend: 0x123, ..Operands::default() }
}

#[test]
fn a_row_writes_what_the_disassembler_reads_at_both_ends_and_not_beyond() {
    let (mut codes, mut wanted) = (Vec::new(), Vec::new());
    for rule in rules() {
        let (lowest, highest) = (rule.ends.0, rule.ends.1 / rule.align * rule.align);
        for value in [lowest, lowest + rule.align, 0, 0x7f4, 0x800, highest - rule.align, highest] {
            if !(lowest..=highest).contains(&value) {
                continue;
            }
            let mut code = rule.code;
            apply(&MACHINE, rule.kind, &mut code, 0, &operands(&rule, value)).expect("it is in range");
            codes.push(code);
            wanted.push(format!("{}{}", rule.text, (rule.operand)(value, PLACE as i64)));
        }
        let mut code = rule.code;
        let beyond = [lowest.wrapping_sub(rule.align), highest.wrapping_add(rule.align)];
        for value in beyond.into_iter().filter(|_| rule.checked) {
            let refused = apply(&MACHINE, rule.kind, &mut code, 0, &operands(&rule, value));
            assert!(matches!(refused, Err(FixupError::OutOfRange { .. })), "{}{value:#x}: {refused:?}", rule.text);
            assert_eq!(code, rule.code);
        }
        if rule.align > 1 {
            let refused = apply(&MACHINE, rule.kind, &mut code, 0, &operands(&rule, 2));
            assert!(matches!(refused, Err(FixupError::Misaligned { align: 4, .. })), "{refused:?}");
        }
    }
    assert!(codes.len() > 50);
    assert_eq!(disassembled(&codes), wanted);
}

#[test]
fn a_far_call_is_two_instructions() {
    let (mut codes, mut wanted) = (Vec::new(), Vec::new());
    let half = 1i64 << 17;
    for value in [-(1 << 37) - half, -4, 0, half - 4, half, (1 << 37) - half - 4] {
        let mut code = [0x01, 0, 0, 0x1e, 0x21, 0, 0, 0x4c]; // pcaddu18i ra; jirl ra, ra
        let operands = Operands { branch: PLACE.wrapping_add_signed(value), place: PLACE, ..Operands::default() };
        apply(&MACHINE, kind::CALL36, &mut code, 0, &operands).expect("it is in range");
        let upper = (value + half).div_euclid(2 * half);
        codes.extend([[code[0], code[1], code[2], code[3]], [code[4], code[5], code[6], code[7]]]);
        wanted.push(format!("pcaddu18i $ra, {upper}"));
        wanted.push(format!("jirl $ra, $ra, {}", value - upper * 2 * half));
    }
    assert_eq!(disassembled(&codes), wanted);
}

#[test]
fn differences_of_labels_are_added_and_subtracted_in_place() {
    let rows = [
        (kind::ADD8, kind::SUB8, 8),
        (kind::ADD16, kind::SUB16, 16),
        (kind::ADD32, kind::SUB32, 32),
        (kind::ADD64, kind::SUB64, 64),
        (kind::ADD6, kind::SUB6, 6),
    ];
    for (add, subtract, bits) in rows {
        let mut bytes = [0xff; 8];
        apply(&MACHINE, add, &mut bytes, 0, &Operands { symbol: 0x1234_5679, ..Operands::default() }).expect("it fits");
        apply(&MACHINE, subtract, &mut bytes, 0, &Operands { symbol: 0x1234_5670, ..Operands::default() })
            .expect("it fits");
        let kept = if bits == 64 { 0 } else { u64::MAX << bits };
        assert_eq!(u64::from_le_bytes(bytes), kept | 8, "{bits} bits: -1 + 9, and the others are as they were");
    }
}

fn assemble(source: &str) -> Vec<u8> {
    compile_with("clang-19", "assembler", &["--target=loongarch64-linux-gnu"], source)
}

fn link(object: &[u8]) -> Result<Linked<'_, FlatImage>, String> {
    let mut graph = LinkGraph::new(&MACHINE);
    jitlink::object::read(&mut graph, "a.o", object, Default::default()).map_err(|error| error.to_string())?;
    let place = ThreadLocal { module: 7, offset: 0x40, distance: Some(0x1000) };
    let memory = FlatMemory::new(0x10_0000).with_thread_local(place);
    let text = |error: jitlink::LinkError| error.to_string();
    let placed = Link::new(graph, LinkOptions::default()).prune(&Roots::default()).map_err(text)?.place(&memory);
    placed.map_err(text)?.resolve(|_| None).map_err(text)?.finalize().map_err(text)
}

const THREAD_LOCAL: &str = ".globl gd, ld, ie, le, __tls_get_addr
.text
gd: la.tls.gd $a0, x
 bl __tls_get_addr
ld: la.tls.ld $a0, x
 bl __tls_get_addr
ie: la.tls.ie $a0, x
 ret
le: la.tls.le $a0, x
__tls_get_addr: ret
.section .tdata,\"awT\"
.skip 0x808
x: .word 7
";

#[test]
fn accesses_to_thread_local_variables_find_their_slots() {
    let object = assemble(THREAD_LOCAL);
    let linked = link(&object).expect("it links");
    let word = |at: u64| {
        let bytes = linked.allocation.at(at, 8).expect("it is in the image");
        u64::from_le_bytes(bytes.try_into().expect("eight bytes"))
    };
    // `pcalau12i`, and `addi.d` or `ld.d` behind it.
    let slot = |name: &str| {
        let at = linked.address(name.as_bytes()).expect("it is linked");
        let code = word(at);
        let (page, low) = ((code >> 5 & 0xf_ffff) as i64, (code >> 42 & 0xfff) as i64);
        (at & !0xfff).wrapping_add_signed((page << 44 >> 32) + (low << 52 >> 52))
    };
    assert_eq!([word(slot("gd")), word(slot("gd") + 8)], [7, 0x848], "module and offset");
    assert_eq!([word(slot("ld")), word(slot("ld") + 8)], [7, 0x848], "it names the variable, too");
    assert_eq!(word(slot("ie")), 0x1808, "the distance");
    let le = linked.address(b"le").expect("it is linked");
    let code = word(le).to_le_bytes();
    let pair = [[code[0], code[1], code[2], code[3]], [code[4], code[5], code[6], code[7]]];
    assert_eq!(disassembled(&pair), ["lu12i.w $a0, 1", "ori $a0, $a0, 2056"]);
}

#[test]
fn what_asks_for_more_is_refused_by_name() {
    let extreme = assemble(".globl f\nf: la.pcrel $a0, $a1, f\n");
    let error = link(&extreme).expect_err("it is of the extreme code model");
    assert!(error.contains("small and medium code models"), "{error}");
    let folder = tempfile::tempdir().expect("a folder");
    let (source, object) = (folder.path().join("a.s"), folder.path().join("a.o"));
    std::fs::write(&source, ".globl f\nf: la.pcrel $a0, f\n.p2align 4\n ret\n").expect("a writable folder");
    let mut assembler = Command::new("llvm-mc-19");
    assembler.args(["--triple=loongarch64", "--filetype=obj", "--mattr=+relax"]).arg(source).arg("-o").arg(&object);
    assert!(assembler.status().expect("llvm-mc-19").success());
    let object = std::fs::read(object).expect("it was written");
    let error = link(&object).expect_err("its linker is to take padding out");
    assert!(error.contains("R_LARCH_ALIGN") && error.contains("-mno-relax"), "{error}");
}
