//! Objects with random damage: an error that names the object, or a link. Never a panic, never more of anything than the file pays for.

use super::support::{assemble, compile};
use super::{aarch64, riscv64};
use jitlink::arch::Machine;
use jitlink::graph::LinkGraph;
use jitlink::memory::{FlatImage, Memory, MemoryError, Request, ThreadLocal};
use jitlink::object::ReadOptions;
use jitlink::{FlatMemory, Keep, Link, LinkError, LinkOptions, Resolution, Roots, arch};
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::TestRunner;
use std::cell::Cell;
use std::sync::LazyLock;

/// Sound objects of one machine: four to damage, and one that stays sound.
type Objects = LazyLock<Vec<Vec<u8>>>;

static AARCH64: Objects = LazyLock::new(aarch64::objects);
static RISCV64: Objects = LazyLock::new(riscv64::objects);

static X86_64: Objects = LazyLock::new(|| {
    let c = "
        extern int other(int); static const char *const names[] = {\"one\", \"two\", \"three\"}; int shared;
        const char *name(unsigned n) { switch (n) { case 0: case 7: return names[other(1)]; case 9: return \"two\"; } return names[n % 3]; }
        __attribute__((constructor(200))) static void start(void) { shared = other(2); }
        __attribute__((weak)) int maybe(void); int try(void) { return maybe ? maybe() : -1; }
    ";
    let cpp = "
        #include <stdexcept>
        #include <string>
        template<class T> T twice(T x) { if (x == T{}) throw std::runtime_error(\"null\"); return x + x; }
        struct Base { virtual ~Base(); virtual int f() { return 1; } }; Base::~Base() {}
        inline int counter = 7;
        int use(Base& b) { try { return twice(b.f()) + counter++; } catch (std::exception const& e) { return (int)std::string(e.what()).size(); } }
        static std::string global(\"at start\");
    ";
    let everything = "
        .section .text.f,\"axG\",@progbits,sig,comdat
        .weak f
        f: .cfi_startproc
        .cfi_personality 0x9b, ref
        .cfi_lsda 0x1b, .Ltable
        call g@PLT
        mov x@GOTPCREL(%rip), %rax
        jmp *far@GOTPCREL(%rip)
        lea _GLOBAL_OFFSET_TABLE_(%rip), %rbx
        movabs $x@GOTOFF, %rax
        ret
        .cfi_endproc
        .section .gcc_except_table,\"aG\",@progbits,sig,comdat
        .Ltable: .long 1
        .section .data.rel.ro,\"aw\"
        ref: .quad personality
        .data
        .globl x, p
        x: .quad 1
        p: .quad f, i, __start_set, __stop_set, __dso_handle, s, s+3, .Ls2
        .long x, x - .
        .long x@SIZE
        .byte 1
        .section .rodata.str,\"aMS\",@progbits,1
        s: .string \"text\"
        .Ls2: .string \"more\"
        .section .rodata.cst8,\"aM\",@progbits,8
        .quad 1, 2, 1
        .section set,\"aw\"
        .quad 1
        .section list,\"ao\",@progbits,.text.f
        .quad f
        .section .init_array.5,\"aw\",@init_array
        .quad g
        .bss
        .zero 64
        .comm shared, 16, 32
        .text
        .globl g, i
        g: ret
        .type i, @gnu_indirect_function
        i: lea g(%rip), %rax
        ret
    ";
    vec![
        assemble(everything),
        compile("c", &["-O2", "-ffunction-sections", "-fdata-sections"], c),
        compile("c", &["-O0", "-fno-pic", "-mcmodel=large"], c),
        compile("c++", &["-O1"], cpp),
        assemble(
            ".data\n.globl q\nq: .quad x, p\n.section set,\"aw\"\n.quad 2\n.section .rodata.str,\"aMS\",@progbits,1\n.globl s2\ns2: .string \"text\"",
        ),
    ]
});

/// One change. Positions are parts of what is there.
#[derive(Clone, Debug)]
enum Change {
    /// One byte of all.
    Byte(Index, u8),
    /// A field of a section header.
    Section(Index, Index, Value),
    /// A field of an entry of the table or the section number that this says: symbols and relocations have 24 bytes, too.
    Entry(Index, Index, Value),
    /// Four bytes of a section's content.
    Content(Index, Index, u32),
    /// Some bytes are replaced by as many from another place.
    Copy(Index, Index, Index),
    /// The end is missing.
    Cut(Index),
}

#[derive(Clone, Debug)]
enum Value {
    Number(u64),
    Bit(u8),
    Length(i8),
}

impl Value {
    fn apply(&self, old: u64, length: usize) -> u64 {
        match *self {
            Self::Number(number) => number,
            Self::Bit(bit) => old ^ 1 << (bit % 64),
            Self::Length(by) => (length as u64).wrapping_add_signed(by.into()),
        }
    }
}

fn value() -> impl Strategy<Value = Value> {
    let numbers = prop_oneof![
        0..80_u64,
        (0..64_u32).prop_map(|bit| 1 << bit),
        (0..64_u32).prop_map(|bit| u64::MAX << bit),
        any::<u64>()
    ];
    prop_oneof![
        3 => numbers.prop_map(Value::Number),
        1 => any::<u8>().prop_map(Value::Bit),
        1 => any::<i8>().prop_map(Value::Length)
    ]
}

fn change() -> impl Strategy<Value = Change> {
    let at = any::<Index>;
    prop_oneof![
        2 => (at(), any::<u8>()).prop_map(|(at, byte)| Change::Byte(at, byte)),
        6 => (at(), at(), value()).prop_map(|(section, field, value)| Change::Section(section, field, value)),
        6 => (at(), at(), value()).prop_map(|(section, field, value)| Change::Entry(section, field, value)),
        4 => (at(), at(), prop_oneof![0..64_u32, any::<u32>()]).prop_map(|(section, at, word)| Change::Content(section, at, word)),
        1 => (at(), at(), at()).prop_map(|(from, to, length)| Change::Copy(from, to, length)),
        1 => at().prop_map(Change::Cut),
    ]
}

/// `(offset, width)` of the fields of a section header, and of symbols and relocations, which have as many bytes.
const HEADER_FIELDS: [(usize, usize); 10] =
    [(0, 4), (4, 4), (8, 8), (16, 8), (24, 8), (32, 8), (40, 4), (44, 4), (48, 8), (56, 8)];
const ENTRY_FIELDS: [(usize, usize); 8] = [(0, 4), (4, 1), (5, 1), (6, 2), (8, 8), (0, 8), (12, 4), (16, 8)];

fn read(data: &[u8], at: usize, width: usize) -> Option<u64> {
    let mut bytes = [0; 8];
    bytes[..width].copy_from_slice(data.get(at..at.checked_add(width)?)?);
    Some(u64::from_le_bytes(bytes))
}

fn write(data: &mut [u8], at: usize, width: usize, value: &Value) {
    let length = data.len();
    if let Some(old) = read(data, at, width) {
        data[at..at + width].copy_from_slice(&value.apply(old, length).to_le_bytes()[..width]);
    }
}

/// Where a header stands, if the file still says so.
fn header(data: &[u8], section: &Index) -> Option<usize> {
    let (start, count) = (read(data, 40, 8)?, read(data, 60, 2)?.max(1));
    usize::try_from(start).ok()?.checked_add(64 * section.index(count as usize))
}

/// Where a section's content stands, if all of it is there.
fn content(data: &[u8], section: &Index) -> Option<std::ops::Range<usize>> {
    let header = header(data, section)?;
    let start = usize::try_from(read(data, header.checked_add(24)?, 8)?).ok()?;
    let end = start.checked_add(usize::try_from(read(data, header.checked_add(32)?, 8)?).ok()?)?;
    (start < end && end <= data.len()).then_some(start..end)
}

impl Change {
    fn apply(&self, data: &mut Vec<u8>) {
        if data.is_empty() {
            return;
        }
        match self {
            Self::Byte(at, byte) => {
                let at = at.index(data.len());
                data[at] = *byte;
            }
            Self::Section(section, field, value) => {
                if let Some(at) = header(data, section) {
                    let (offset, width) = HEADER_FIELDS[field.index(HEADER_FIELDS.len())];
                    write(data, at.saturating_add(offset), width, value);
                }
            }
            Self::Entry(section, at, value) => {
                if let Some(range) = content(data, section) {
                    let entry = at.index(range.len().div_ceil(24));
                    let (offset, width) = ENTRY_FIELDS[at.index(ENTRY_FIELDS.len() * 1009) % ENTRY_FIELDS.len()];
                    write(data, range.start + 24 * entry + offset, width, value);
                }
            }
            Self::Content(section, at, word) => {
                if let Some(range) = content(data, section) {
                    write(data, range.start + at.index(range.len()), 4, &Value::Number((*word).into()));
                }
            }
            Self::Copy(from, to, length) => {
                let (from, to) = (from.index(data.len()), to.index(data.len()));
                let length = length.index(256).min(data.len() - from.max(to));
                data.copy_within(from..from + length, to);
            }
            Self::Cut(at) => data.truncate(at.index(data.len())),
        }
    }
}

/// A small machine: links that claim much are refused.
struct Small;

impl Memory for Small {
    type InFlight = FlatImage;
    fn reserve(&self, request: &Request<'_>) -> Result<FlatImage, MemoryError> {
        let total = request.segments.iter().map(|s| s.size.saturating_add(s.align)).fold(0, u64::saturating_add);
        if total > 1 << 20 {
            return Err(MemoryError::new("too small"));
        }
        // Aligned for whatever is asked for.
        // As aligned as is asked for.
        let align = request.thread_local.map_or(1, |wanted| wanted.align).clamp(1 << 12, 1 << 40);
        let thread_local = ThreadLocal { module: 1, offset: align, distance: Some(align as i64) };
        FlatMemory { base: 1 << 20, page_size: 16, thread_local: Some(thread_local) }.reserve(request)
    }
}

/// What became of a damaged object.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Outcome {
    NotRead,
    NotLinked,
    TooLarge,
    Linked,
}

/// Links the damaged object beside a sound one.
fn check(
    (machine, objects): (&'static Machine, &Objects),
    data: &[u8],
    keep: Keep,
    plain: bool,
    outside: u64,
) -> Result<Outcome, TestCaseError> {
    let sound = &objects[4];
    let mut graph = LinkGraph::new(machine);
    jitlink::object::read(&mut graph, "sound.o", sound, ReadOptions::default()).expect("sound");
    if let Err(error) = jitlink::object::read(&mut graph, "damaged.o", data, ReadOptions { explicit: false }) {
        prop_assert_eq!(&error.object, "damaged.o");
        prop_assert!(error.to_string().starts_with("damaged.o: "));
        return Ok(Outcome::NotRead);
    }
    let verified = graph.verify();
    prop_assert!(verified.is_ok(), "{:?}", verified);
    let paid = |bytes: usize| data.len() / bytes + 32;
    prop_assert!(graph.sections().len() <= paid(64));
    prop_assert!(graph.symbols().len() <= 2 * paid(24));
    prop_assert!(graph.edges().len() <= paid(24));

    let find = |external: jitlink::External<'_>| {
        let place = ThreadLocal { module: 2, offset: 8, distance: outside.is_multiple_of(2).then_some(-64) };
        Some(match external.thread_local {
            true => Resolution::thread_local(place),
            false => Resolution::new(outside, outside.is_multiple_of(2)),
        })
    };
    let roots = Roots { keep, wanted: &[b"p", b"f", b"name", b"_Z3useR4Base"], ..Roots::default() };
    let linked = Link::new(graph, LinkOptions { plain, ..LinkOptions::default() })
        .prune(&roots)
        .and_then(|pruned| pruned.place(&Small))
        .and_then(|placed| placed.resolve(find))
        .and_then(jitlink::Link::finalize);
    match linked {
        Ok(linked) => {
            // Everything that a link tells can be told.
            let told = linked.init_arrays().count() + linked.globals().count() + linked.names().count();
            prop_assert!(told <= 3 * linked.graph().symbols().len() + linked.graph().blocks().len());
            prop_assert!(linked.graph().verify().is_ok());
            prop_assert!(!linked.graph().dump().to_string().is_empty());
            Ok(Outcome::Linked)
        }
        Err(LinkError::Memory(_)) => Ok(Outcome::TooLarge),
        Err(error) => {
            let said = error.to_string();
            prop_assert!(said.contains("damaged.o") || said.contains("sound.o"), "{}", said);
            Ok(Outcome::NotLinked)
        }
    }
}

fn cases() -> ProptestConfig {
    // PROPTEST_CASES asks for more.
    let asked = std::env::var_os("PROPTEST_CASES").is_some();
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    if asked { config } else { ProptestConfig { cases: 20_000, ..config } }
}

/// The machines that objects are damaged of.
static MACHINES: [(&Machine, &Objects); 3] =
    [(&arch::x86_64::MACHINE, &X86_64), (&arch::aarch64::MACHINE, &AARCH64), (&arch::riscv64::MACHINE, &RISCV64)];

#[test]
fn sound_objects_link() {
    for (machine, objects) in MACHINES {
        for (i, object) in objects.iter().enumerate().take(4) {
            let linked = check((machine, objects), object, Keep::Exported, false, 0x40_0000);
            assert!(matches!(linked, Ok(Outcome::Linked)), "{machine:?}, object {i}: {linked:?}");
        }
    }
}

#[test]
fn damage_is_an_error_or_harmless() {
    MACHINES.iter().for_each(|machine| damage(*machine));
}

fn damage(machine: (&'static Machine, &Objects)) {
    let keep = prop::sample::select(&[Keep::Exported, Keep::ExplicitlyExported, Keep::Named][..]);
    let outside = prop::sample::select(&[0_u64, 0x40_0000, 0x40_0001, 0x7f12_3456_7890, u64::MAX][..]);
    let damage = (0..4_usize, prop::collection::vec(change(), 1..4), keep, any::<bool>(), outside);
    let config = cases();
    let enough = config.cases / 200;
    let outcomes = Cell::new([0; 4]);
    let result = TestRunner::new(config).run(&damage, |(object, changes, keep, plain, outside)| {
        let mut data = machine.1[object].clone();
        for change in &changes {
            change.apply(&mut data);
        }
        let outcome = check(machine, &data, keep, plain, outside)?;
        let mut counts = outcomes.get();
        counts[outcome as usize] += 1;
        outcomes.set(counts);
        Ok(())
    });
    if let Err(error) = result {
        panic!("{:?}: {error}", machine.0);
    }
    // Damage that is always seen at once would test little.
    let [not_read, not_linked, _, linked] = outcomes.get();
    assert!([not_read, not_linked, linked].iter().all(|count| *count >= enough), "{outcomes:?}");
}
