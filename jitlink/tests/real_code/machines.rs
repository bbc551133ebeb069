//! What differs from machine to machine: tools, and what two linkers may do differently and both be right.

use jitlink::arch::{self, Machine};
use object::Architecture;

/// One machine that code is linked for here and elsewhere.
pub(crate) struct Target {
    pub(crate) machine: &'static Machine,
    pub(crate) architecture: Architecture,
    /// The emulation that `ld.lld -m` takes.
    pub(crate) emulation: &'static str,
    /// GNU ld.
    pub(crate) gnu_ld: &'static str,
    /// gcc, and the triple of clang.
    pub(crate) gcc: &'static str,
    pub(crate) triple: &'static str,
    /// Its loads of slots are relaxed as ours are.
    pub(crate) relaxes: bool,
    /// Static libraries: folders, of which all are taken, and files.
    pub(crate) folders: &'static [&'static str],
    pub(crate) archives: &'static [&'static str],
    /// The distance from the thread pointer to a program's thread-local storage: `(address, size, align)` of what it is initialized with.
    pub(crate) distance: fn(u64, u64, u64) -> i64,
    /// Bytes of a call, from its field on: what a rewritten sequence may have in its place.
    pub(crate) call: usize,
    /// Whether two forms of an instruction do the same.
    pub(crate) is_same: fn(ours: &Access<'_>, theirs: &Access<'_>) -> bool,
}

/// An instruction that a linker has written.
pub(crate) struct Access<'a> {
    /// The bytes before the field, and the field.
    pub(crate) before: &'a [u8],
    pub(crate) bytes: &'a [u8],
    /// The address of the field.
    pub(crate) place: u64,
    /// The address that is meant, and what is added to it.
    pub(crate) symbol: u64,
    pub(crate) addend: i64,
    /// The linker's slots that hold it.
    pub(crate) slots: Vec<u64>,
    /// Where the table of slots begins.
    pub(crate) table: u64,
}

pub(crate) const AARCH64: Target = Target {
    machine: &arch::aarch64::MACHINE,
    architecture: Architecture::Aarch64,
    emulation: "aarch64elf",
    gnu_ld: "aarch64-linux-gnu-ld",
    gcc: "aarch64-linux-gnu-gcc",
    triple: "aarch64-linux-gnu",
    // It makes `nop; adr` of what is near, too.
    relaxes: false,
    folders: &["/usr/aarch64-linux-gnu/lib", "/usr/lib/gcc-cross/aarch64-linux-gnu/12"],
    archives: &[],
    // Two words of the thread control block come first (variant I).
    distance: |address, _, align| 16 + (address.wrapping_sub(16) & (align - 1)) as i64,
    call: 4,
    is_same: aarch64_is_same,
};

pub(crate) const LOONGARCH64: Target = Target {
    machine: &arch::loongarch64::MACHINE,
    architecture: Architecture::LoongArch64,
    emulation: "elf64loongarch",
    gnu_ld: "loongarch64-linux-gnu-ld",
    gcc: "loongarch64-linux-gnu-gcc",
    triple: "loongarch64-linux-gnu",
    relaxes: false,
    folders: &[],
    archives: &[],
    // The thread pointer is the start (variant I).
    distance: |_, _, _| 0,
    call: 4,
    is_same: loongarch64_is_same,
};

pub(crate) const X86_64: Target = Target {
    machine: &arch::x86_64::MACHINE,
    architecture: Architecture::X86_64,
    emulation: "elf_x86_64",
    gnu_ld: "ld",
    gcc: "gcc",
    triple: "x86_64-linux-gnu",
    relaxes: true,
    folders: &[],
    archives: &[
        "/usr/lib/gcc/x86_64-linux-gnu/12/libatomic.a",
        "/usr/lib/gcc/x86_64-linux-gnu/12/libbacktrace.a",
        "/usr/lib/gcc/x86_64-linux-gnu/12/libgcc.a",
        "/usr/lib/gcc/x86_64-linux-gnu/12/libgcc_eh.a",
        "/usr/lib/gcc/x86_64-linux-gnu/12/libgcov.a",
        "/usr/lib/gcc/x86_64-linux-gnu/12/libgomp.a",
        "/usr/lib/gcc/x86_64-linux-gnu/12/libitm.a",
        "/usr/lib/gcc/x86_64-linux-gnu/12/liblsan.a",
        "/usr/lib/gcc/x86_64-linux-gnu/12/libquadmath.a",
        "/usr/lib/gcc/x86_64-linux-gnu/12/libssp_nonshared.a",
        "/usr/lib/gcc/x86_64-linux-gnu/12/libstdc++.a",
        "/usr/lib/gcc/x86_64-linux-gnu/12/libstdc++fs.a",
        "/usr/lib/gcc/x86_64-linux-gnu/12/libsupc++.a",
        "/usr/lib/x86_64-linux-gnu/libBrokenLocale.a",
        "/usr/lib/x86_64-linux-gnu/libanl.a",
        "/usr/lib/x86_64-linux-gnu/libc.a",
        "/usr/lib/x86_64-linux-gnu/libc_nonshared.a",
        "/usr/lib/x86_64-linux-gnu/libm-2.36.a",
        "/usr/lib/x86_64-linux-gnu/libmcheck.a",
        "/usr/lib/x86_64-linux-gnu/libmvec.a",
        "/usr/lib/x86_64-linux-gnu/libresolv.a",
    ],
    // The thread pointer is the end (variant II).
    distance: |address, size, align| {
        -((size.wrapping_add(address.wrapping_add(size).wrapping_neg() & (align - 1))) as i64)
    },
    call: 4,
    is_same: |ours, theirs| x86_64_leads_there(ours) && x86_64_leads_there(theirs),
};

/// A load, or another operation, of a slot, or `lea` of the symbol, or the operation of its address, or a branch to it.
fn x86_64_leads_there(access: &Access<'_>) -> bool {
    let Some(distance) = access.bytes.first_chunk().map(|bytes| i32::from_le_bytes(*bytes)) else { return false };
    let points_at = access.place.wrapping_add_signed(i64::from(distance)).wrapping_add_signed(-access.addend);
    match access.before {
        // An immediate, or a distance from a register, which is what `add` may be written as.
        [.., 0x81 | 0xc7 | 0xf7, 0xc0..=0xff] | [.., 0x8d, 0x80..=0xbf] => {
            i64::from(distance) as u64 == access.symbol || u64::from(distance as u32) == access.symbol
        }
        [.., 0x8d, _] | [.., 0xe8 | 0xe9] => points_at == access.symbol,
        _ => access.slots.contains(&points_at),
    }
}

pub(crate) const RISCV64: Target = Target {
    machine: &arch::riscv64::MACHINE,
    architecture: Architecture::Riscv64,
    emulation: "elf64lriscv",
    gnu_ld: "riscv64-linux-gnu-ld",
    gcc: "riscv64-linux-gnu-gcc",
    triple: "riscv64-linux-gnu",
    // It shortens code, too.
    relaxes: false,
    folders: &["/usr/riscv64-linux-gnu/lib", "/usr/lib/gcc-cross/riscv64-linux-gnu/12"],
    archives: &[],
    // The thread pointer is the start (variant I).
    distance: |address, _, align| (address & (align - 1)) as i64,
    call: 8,
    is_same: riscv64_is_same,
};

/// `auipc` and `ld` of a slot do the same as `auipc` and `addi` of the symbol, or as `lui` and `addi` of a thread-local variable's distance.
fn riscv64_is_same(ours: &Access<'_>, theirs: &Access<'_>) -> bool {
    let word = |bytes: &[u8]| bytes.first_chunk().map(|bytes| u32::from_le_bytes(*bytes));
    let (Some(own), Some(other)) = (word(ours.bytes), word(theirs.bytes)) else { return false };
    // `add a0, a0, tp; nop` of a variable's distance stand for a call with its module and offset, to the function that finds it.
    if own == 0x0045_0533 {
        return other & 0xfff == 0x097 && riscv64_leads_there(other, theirs);
    }
    let is_upper = |it: u32| matches!(it & 0x7f, 0x17 | 0x37);
    let registers = |it: u32| it & if is_upper(it) { 0xf80 } else { 0xf_8f80 };
    is_upper(own) == is_upper(other)
        && registers(own) == registers(other)
        && riscv64_leads_there(own, ours)
        && riscv64_leads_there(other, theirs)
}

fn riscv64_leads_there(it: u32, access: &Access<'_>) -> bool {
    // The instruction with the upper bits is as far away as the addend says.
    let distance = |to: u64| to.wrapping_add_signed(access.addend).wrapping_sub(access.place);
    let symbol = access.symbol;
    let upper = |value: u64| (value.wrapping_add(0x800) >> 12) as u32 & 0xf_ffff == it >> 12;
    let lower = |value: u64| value as u32 & 0xfff == it >> 20;
    match it & 0x7f {
        0x17 => upper(distance(symbol)) || access.slots.iter().any(|slot| upper(distance(*slot))),
        0x37 => upper(symbol),
        0x13 if lower(distance(symbol)) || lower(symbol) => true,
        0x03 | 0x13 => access.slots.iter().any(|slot| lower(distance(*slot))),
        _ => false,
    }
}

/// `pcalau12i` and `ld.d` of a slot, wherever that is.
fn loongarch64_is_same(ours: &Access<'_>, theirs: &Access<'_>) -> bool {
    let word = |bytes: &[u8]| bytes.first_chunk().map(|bytes| u32::from_le_bytes(*bytes));
    let (Some(own), Some(other)) = (word(ours.bytes), word(theirs.bytes)) else { return false };
    let is_upper = |it: u32| it >> 25 == 0b000_1101;
    let fixed = |it: u32| it & if is_upper(it) { 0xfe00_001f } else { 0xffc0_03ff };
    let leads_there = |it: u32, access: &Access<'_>| {
        access.slots.iter().any(|slot| {
            if is_upper(it) {
                let bytes = i64::from((it << 7) as i32 >> 12) << 12;
                (access.place & !0xfff).wrapping_add_signed(bytes) == slot.wrapping_add(0x800) & !0xfff
            } else {
                u64::from(it >> 10 & 0xfff) == slot & 0xfff
            }
        })
    };
    fixed(own) == fixed(other) && leads_there(own, ours) && leads_there(other, theirs)
}

/// `adrp` of a slot's page, and `ldr` of it, do the same as `adrp` of the symbol's page, and `add` of the rest.
fn aarch64_is_same(ours: &Access<'_>, theirs: &Access<'_>) -> bool {
    let word = |bytes: &[u8]| bytes.first_chunk().map(|bytes| u32::from_le_bytes(*bytes));
    let (Some(own), Some(other)) = (word(ours.bytes), word(theirs.bytes)) else { return false };
    // `adrp` and loads of literals read no register.
    let reads = |it: u32| it & 0x1f00_0000 != 0x1000_0000 && it & 0x3b00_0000 != 0x1800_0000;
    let registers = |it: u32| it & if reads(it) { 0x3ff } else { 0x1f };
    registers(own) == registers(other) && leads_there(own, ours) && leads_there(other, theirs)
}

fn leads_there(it: u32, access: &Access<'_>) -> bool {
    let of_slot = |slot: &u64| {
        let in_page = is_load(it, slot & 0xfff) || is_load(it, slot.wrapping_sub(access.table & !0xfff));
        in_page || is_page(it, access.place, *slot) || is_load_of_literal(it, access.place, *slot)
    };
    is_page(it, access.place, access.symbol.wrapping_add_signed(access.addend))
        || is_add(it, access.symbol.wrapping_add_signed(access.addend))
        || access.slots.iter().any(of_slot)
}

fn is_page(instruction: u32, place: u64, of: u64) -> bool {
    let pages = ((instruction >> 5 & 0x7_ffff) << 2 | instruction >> 29 & 3) as i32;
    let bytes = i64::from(pages << 11 >> 11) << 12;
    instruction & 0x9f00_0000 == 0x9000_0000 && (place & !0xfff).wrapping_add_signed(bytes) == of & !0xfff
}

fn is_add(instruction: u32, of: u64) -> bool {
    instruction & 0xffc0_0000 == 0x9100_0000 && u64::from(instruction >> 10 & 0xfff) == of & 0xfff
}

fn is_load_of_literal(instruction: u32, place: u64, of: u64) -> bool {
    let distance = i64::from((instruction as i32) << 8 >> 13 << 2);
    instruction & 0xff00_0000 == 0x5800_0000 && place.wrapping_add_signed(distance) == of
}

fn is_load(instruction: u32, offset: u64) -> bool {
    instruction & 0xffc0_0000 == 0xf940_0000 && u64::from(instruction >> 10 & 0xfff) << 3 == offset
}
