//! Copies of objects in which every section has a name of its own, so that a linker script can say where it goes.
//!
//! What is loaded is kept whatever refers to it, and is not merged with anything: each linker has its own way of doing that.

use object::elf;

/// Fields of a class of ELF: where they are, and how wide addresses are.
struct Class {
    wide: bool,
    shoff: usize,
    shentsize: usize,
    shnum: usize,
    shstrndx: usize,
}

const CLASSES: [Class; 2] = [
    Class { wide: false, shoff: 32, shentsize: 46, shnum: 48, shstrndx: 50 },
    Class { wide: true, shoff: 40, shentsize: 58, shnum: 60, shstrndx: 62 },
];

/// The copy: loaded sections are called by `prefix` and their number, but for call frame information.
pub(crate) fn rename(object: &[u8], prefix: &str) -> Vec<u8> {
    let class = &CLASSES[usize::from(object[4] == 2)];
    let half = |at: usize| usize::from(u16::from_le_bytes([object[at], object[at + 1]]));
    let word = |bytes: &[u8], at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
    // Files of these tests are smaller than 4 GiB.
    let size = |at: usize| word(object, at) as usize;
    let (start, entry, count, strings) =
        (size(class.shoff), half(class.shentsize), half(class.shnum), half(class.shstrndx));
    let header = |number: usize| start + number * entry;
    let address = if class.wide { 8 } else { 4 };
    // sh_name, sh_type, sh_flags, sh_addr, sh_offset, sh_size
    let (flags_at, offset_at, size_at) = (8, 8 + 2 * address, 8 + 3 * address);
    let old = size(header(strings) + offset_at);
    let old_name = |number: usize| {
        let name = &object[old + word(object, header(number)) as usize..];
        let end = name.iter().position(|byte| *byte == 0).expect("names end");
        String::from_utf8_lossy(&name[..end]).into_owned()
    };

    let put = |copy: &mut Vec<u8>, at: usize, value: usize| {
        copy[at..at + address].copy_from_slice(&(value as u64).to_le_bytes()[..address]);
    };
    let mut copy = object.to_vec();
    // Names of symbols may stand in the same table.
    let mut table = object[old..old + size(header(strings) + size_at)].to_vec();
    for number in 1..count {
        let at = header(number);
        let flags = word(object, at + flags_at);
        let name = old_name(number);
        let loaded = flags & elf::SHF_ALLOC.0 as u32 != 0 && name != ".eh_frame";
        let name = if loaded { format!(".{prefix}{number}") } else { name };
        copy[at..at + 4].copy_from_slice(&(table.len() as u32).to_le_bytes());
        table.extend(name.bytes().chain([0]));
        if loaded {
            let merge = (elf::SHF_MERGE.0 | elf::SHF_STRINGS.0) as u32;
            let flags = flags & !merge | elf::SHF_GNU_RETAIN.0 as u32;
            copy[at + flags_at..at + flags_at + 4].copy_from_slice(&flags.to_le_bytes());
        }
        // lld puts thread-local zeros where it likes.
        let zeros = flags & elf::SHF_TLS.0 as u32 != 0 && word(object, at + 4) == elf::SHT_NOBITS.0;
        if zeros {
            let start = copy.len();
            copy.resize(start + size(at + size_at), 0);
            copy[at + 4..at + 8].copy_from_slice(&elf::SHT_PROGBITS.0.to_le_bytes());
            put(&mut copy, at + offset_at, start);
        }
    }
    let start = copy.len();
    put(&mut copy, header(strings) + offset_at, start);
    put(&mut copy, header(strings) + size_at, table.len());
    copy.extend(table);
    copy
}
