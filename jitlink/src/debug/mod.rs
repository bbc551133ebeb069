//! Debug sections of what is linked, as a static linker writes them into its output.
//!
//! **You give** objects that are linked, in the order in which they were, with where their sections are ([`Linked::section_addresses`]). **You get**
//! the debug sections of all of them, concatenated by name, with final addresses and offsets, for whoever writes a file. Compressed
//! ones are uncompressed. What an object has of a COMDAT group that an earlier one has is left out, as type units and macros of headers are. **It is not for**
//! links that nobody looks at: a link itself never touches debug sections, and costs the same whether this is called or not.
//!
//! What is said about code that was pruned, or that lost to another object's copy, gets a *tombstone* in place of its address, as lld has it: 1 in
//! `.debug_ranges` and `.debug_loc`, where a pair of zeros would end the list (DWARF 4, 2.17.3 and 2.6.2), 0 elsewhere.
//!
//! Thread-local variables of linked code have no module that a debugger could ask the thread library for. gdb takes such a file's storage for that of the program's first
//! module, so that offsets are counted from there ([`Merger::with_origin`]); where a variable is at another distance from it in each thread, it has no location.
//!
//! Left out: indices of names (`.debug_names`, `.debug_pubnames` and their kin), which would have to be made anew and which debuggers make themselves; and
//! `.dwo` sections, which debuggers read from objects and `.dwo` files (`-gsplit-dwarf`).

mod elf;

use crate::arch::Machine;
use crate::linked::Linked;
use crate::memory::ThreadLocal;
use crate::object::ObjectError;
use crate::object::elf::Surplus;
use std::collections::{HashMap, HashSet};

/// One object that is linked.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// What errors call it.
    pub name: &'a str,
    /// The bytes that were linked.
    pub bytes: &'a [u8],
    /// Its sections that are in memory: number and address, in ascending order of numbers.
    pub sections: &'a [(u32, u64)],
}

/// A debug section of all objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DebugSection {
    /// Its name.
    pub name: String,
    /// The largest alignment of its pieces in bytes.
    pub align: u64,
    /// Its content.
    pub bytes: Vec<u8>,
}

/// Debug sections while objects are added to them.
///
/// ```no_run
/// use jitlink::debug::{Input, Merger};
/// use jitlink::{FlatMemory, Link, LinkGraph, LinkOptions, Roots, arch, object};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let bytes = std::fs::read("a.o")?;
/// let mut graph = LinkGraph::new(arch::Machine::ALL[0]);
/// object::read(&mut graph, "a.o", &bytes, object::ReadOptions::default())?;
/// let linked = Link::new(graph, LinkOptions::default())
///     .prune(&Roots::default())?
///     .place(&FlatMemory::new(0x10_0000))?
///     .resolve(|_| None)?
///     .finalize()?;
///
/// let mut merger = Merger::new(&linked);
/// let addresses = linked.section_addresses();
/// merger.add(&Input { name: "a.o", bytes: &bytes, sections: &addresses[0] }, |name| linked.address(name))?;
/// for section in merger.finish() {
///     println!("{}: {} bytes", section.name, section.bytes.len());
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Merger {
    machine: &'static Machine,
    /// The storage of the link's own thread-local variables.
    thread_local: Option<ThreadLocal>,
    /// See [`Merger::with_origin`].
    origin: Option<i64>,
    sections: Vec<DebugSection>,
    by_name: HashMap<String, usize>,
    /// The debug sections of COMDAT groups, by signature.
    groups: HashMap<Box<[u8]>, Vec<Member>>,
    /// Entries of `.debug_gdb_scripts`.
    scripts: HashSet<Box<[u8]>>,
}

/// A debug section of a group that was kept.
#[derive(Clone, Debug)]
struct Member {
    name: String,
    at: Piece,
}

/// Where the bytes of an object's sections are once it is linked: elsewhere behind padding that the linker shortens (on riscv64), and where
/// they were in all other objects.
#[derive(Debug, Default)]
pub struct Offsets(Surplus);

impl Offsets {
    /// Of an ELF object of 64 bits for `machine`; `None` when it is damaged.
    #[must_use]
    pub fn read(machine: &Machine, bytes: &[u8]) -> Option<Self> {
        elf::surplus(machine, bytes).map(Self)
    }

    /// From an offset in section `section` of the file to that in what is linked of it.
    #[must_use]
    pub fn linked(&self, section: u32, offset: u64) -> u64 {
        self.0.moved(section as usize, offset)
    }

    /// The other way round.
    #[must_use]
    pub fn in_file(&self, section: u32, offset: u64) -> u64 {
        self.0.original(section as usize, offset)
    }
}

/// What one section of an object became: which section of the output, and where in it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Piece {
    section: usize,
    offset: u64,
}

impl Merger {
    /// No debug sections yet of a finished link.
    #[must_use]
    pub fn new<A>(linked: &Linked<'_, A>) -> Self {
        Self::of(linked.graph().machine(), linked.thread_local.map(|image| image.place))
    }

    /// As [`Self::new`], for those who have kept what it asks the link for: the machine, and where the link's thread-local storage is.
    #[must_use]
    pub fn of(machine: &'static Machine, thread_local: Option<ThreadLocal>) -> Self {
        Self {
            machine,
            thread_local,
            origin: None,
            sections: Vec::new(),
            by_name: HashMap::new(),
            groups: HashMap::new(),
            scripts: HashSet::new(),
        }
    }

    /// Counts offsets of thread-local variables from what is at this distance from the thread pointer, instead of from the link's own storage.
    #[must_use]
    pub fn with_origin(self, distance: Option<i64>) -> Self {
        Self { origin: distance, ..self }
    }

    /// Adds an object; `find` gives the addresses of global names, of thread-local variables what [`ThreadLocal::address`] says.
    ///
    /// # Errors
    /// The object's debug sections are damaged, or refer to something in a way that has no meaning there. Nothing of it is added then.
    pub fn add(&mut self, input: &Input<'_>, find: impl Fn(&[u8]) -> Option<u64>) -> Result<(), ObjectError> {
        let sizes: Vec<usize> = self.sections.iter().map(|section| section.bytes.len()).collect();
        let added = elf::add(self, input, &find);
        if added.is_err() {
            // Sections that came with it stay, and are empty.
            for (index, section) in self.sections.iter_mut().enumerate() {
                section.bytes.truncate(sizes.get(index).copied().unwrap_or(0));
            }
        }
        added
    }

    /// The sections, in the order in which they came up, but for those that are empty.
    #[must_use]
    pub fn finish(self) -> Vec<DebugSection> {
        self.sections.into_iter().filter(|section| !section.bytes.is_empty()).collect()
    }

    /// Puts a piece behind those that are there.
    fn append(&mut self, name: &str, align: u64, bytes: &[u8]) -> Piece {
        let index = match self.by_name.get(name) {
            Some(index) => *index,
            None => {
                self.sections.push(DebugSection { name: name.to_owned(), align: 1, bytes: Vec::new() });
                self.by_name.insert(name.to_owned(), self.sections.len() - 1);
                self.sections.len() - 1
            }
        };
        let section = &mut self.sections[index];
        section.align = section.align.max(align);
        let offset = section.bytes.len().next_multiple_of(align as usize);
        section.bytes.resize(offset, 0);
        section.bytes.extend_from_slice(bytes);
        Piece { section: index, offset: offset as u64 }
    }
}

impl<A> Linked<'_, A> {
    /// By [`ObjectId::index`](crate::graph::ObjectId::index): number and address of each section of the object that is in memory, in ascending order of
    /// numbers. Sections whose pieces were merged with others' are not among them; of thread-local ones the address is what [`ThreadLocal::address`] says.
    #[must_use]
    pub fn section_addresses(&self) -> Vec<Vec<(u32, u64)>> {
        let graph = self.graph();
        let mut all = vec![Vec::new(); graph.objects().len()];
        for block in graph.blocks().iter().filter(|block| block.live) {
            let section = graph.section(block.section);
            if section.number != 0 {
                all[section.object.index()].push((section.number, block.address));
            }
        }
        // They are in order already, unless a plugin has added some.
        all.iter_mut().for_each(|sections| sections.sort_unstable_by_key(|(number, _)| *number));
        all
    }

    /// The address of a global name, here or outside; of a thread-local variable what [`ThreadLocal::address`] says. `None` for what is not linked.
    #[must_use]
    pub fn address(&self, name: &[u8]) -> Option<u64> {
        use crate::graph::Definition;
        let graph = self.graph();
        let symbol = graph.symbol(graph.find(name)?);
        let linked = match symbol.definition {
            Definition::Block(block) => graph.block(block).live,
            Definition::Absolute => true,
            Definition::Undefined | Definition::Linker(_) => symbol.live,
            Definition::Common | Definition::Discarded => false,
        };
        linked.then_some(symbol.address)
    }
}
