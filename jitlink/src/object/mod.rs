//! Readers: from the bytes of a relocatable object to blocks, symbols and edges of a [`LinkGraph`].
//!
//! One file (or folder) for each format; the machine's relocation numbers are not known here but in `reloc/`.

pub mod archive;
pub mod detect;
pub mod elf;

use crate::graph::{Edges, LinkGraph, ObjectId};

/// How an object is to be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReadOptions {
    /// A user named it; an archive gave it otherwise. What was named can be told apart when pruning.
    pub explicit: bool,
}

impl Default for ReadOptions {
    fn default() -> Self {
        Self { explicit: true }
    }
}

/// An object that cannot be read or joined to the graph, and where in it the reason stands.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{object}: {}{problem}", place(section, *offset))]
pub struct ObjectError {
    /// The object, as it was named.
    pub object: String,
    /// The section, where one is to blame.
    pub section: Option<String>,
    /// The offset in that section, in bytes.
    pub offset: Option<u64>,
    /// What is wrong.
    pub problem: ObjectProblem,
}

fn place(section: &Option<String>, offset: Option<u64>) -> String {
    match (section, offset) {
        (Some(section), Some(offset)) => format!("section {section}+{offset:#x}: "),
        (Some(section), None) => format!("section {section}: "),
        (None, Some(offset)) => format!("offset {offset:#x}: "),
        (None, None) => String::new(),
    }
}

/// What can be wrong with an object.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ObjectProblem {
    /// It is something else.
    #[error("not a relocatable object: {0}")]
    NotAnObject(String),
    /// It is for another machine.
    #[error("is for {found}, this link is for {wanted}")]
    WrongMachine {
        /// What the object says.
        found: String,
        /// What the graph links.
        wanted: String,
    },
    /// Its tables contradict themselves or the file's length.
    #[error("malformed: {0}")]
    Malformed(String),
    /// A relocation type without a meaning in relocatable objects.
    #[error("unknown or unsupported relocation {name} against symbol '{symbol}'")]
    UnknownRelocation {
        /// The relocation's name or number.
        name: String,
        /// What it refers to.
        symbol: String,
    },
    /// Memory is never writable and executable at once.
    #[error("is writable and executable at once: split it, or drop one of the two flags")]
    WritableAndExecutable,
    /// Two strong definitions.
    #[error("duplicate definition of '{symbol}', first defined in {first}")]
    Duplicate {
        /// The name, as the objects spell it.
        symbol: String,
        /// The object that had it first.
        first: String,
    },
}

/// Reads the object `data` into `graph`. `name` is what messages call it.
///
/// # Errors
/// When it is not a relocatable object for the graph's machine, is malformed, or defines again what is defined; the graph must not
/// be linked then, since part of the object may already be in it.
pub fn read<'data>(
    graph: &mut LinkGraph<'data>,
    name: &str,
    data: &'data [u8],
    options: ReadOptions,
) -> Result<ObjectId, ObjectError> {
    let (object, relocations) = read_names(graph, name, data, options)?;
    let mut edges = graph.begin_edges();
    relocations.read(&mut edges);
    graph.add_edges(edges)?;
    Ok(object)
}

/// Reads the sections and symbols of the object `data` into `graph`, and leaves its relocations for later: whoever reads the next object
/// need not wait for them. [`read`] is both in one.
///
/// ```
/// # fn run<'d>(graph: &mut jitlink::LinkGraph<'d>, a: &'d [u8], b: &'d [u8]) -> Result<(), jitlink::object::ObjectError> {
/// # use jitlink::{graph::Edges, object::read_names};
/// let (_, of_a) = read_names(graph, "a.o", a, Default::default())?;
/// let (_, of_b) = read_names(graph, "b.o", b, Default::default())?;
/// let mut edges = Edges::default();
/// of_a.read(&mut edges); // anywhere, on any thread
/// of_b.read(&mut edges);
/// graph.add_edges(edges)?;
/// # Ok(()) }
/// ```
///
/// # Errors
/// As [`read`], but for what is wrong with relocations: [`LinkGraph::add_edges`] tells that.
pub fn read_names<'data>(
    graph: &mut LinkGraph<'data>,
    name: &str,
    data: &'data [u8],
    options: ReadOptions,
) -> Result<(ObjectId, Relocations<'data>), ObjectError> {
    let relocations = Pending::Elf(elf::read(graph, name, data, options)?);
    Ok((relocations.object(), Relocations(relocations)))
}

/// What relocations ask of memory, whichever of them turn out to be needed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Asks {
    /// Addresses are held in fewer bits than a pointer has: everything must lie low.
    pub low: bool,
    /// Distances of thread-local variables from the thread pointer are held by code.
    pub constant_distance: bool,
}

/// As [`read`], without the relocations: blocks have no edges, and what is returned reads them when they are needed.
///
/// # Errors
/// As [`read`]; what is wrong with relocations is told when they are read.
pub fn read_deferred<'data>(
    graph: &mut LinkGraph<'data>,
    name: &str,
    data: &'data [u8],
    options: ReadOptions,
) -> Result<elf::Deferred<'data>, ObjectError> {
    let relocations = elf::read(graph, name, data, options)?;
    Ok(elf::Deferred::new(graph, relocations))
}

/// The relocations of an object whose sections and symbols are in a graph, not looked at yet.
#[derive(Debug)]
#[must_use = "a graph without them must not be linked"]
pub struct Relocations<'data>(Pending<'data>);

/// What each format's reader leaves for later.
#[derive(Debug)]
enum Pending<'data> {
    Elf(elf::Relocations<'data>),
}

impl Pending<'_> {
    fn object(&self) -> ObjectId {
        match self {
            Self::Elf(elf) => elf.object(),
        }
    }
}

impl Relocations<'_> {
    /// Roughly how many bytes of the file they are: what reading them will cost.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        match &self.0 {
            Pending::Elf(elf) => elf.bytes(),
        }
    }

    /// Makes edges of them, behind those of `edges`: of the same graph, in the order in which the objects were read. After an error nothing more is read.
    pub fn read(self, edges: &mut Edges) {
        if edges.has_failed() {
            return;
        }
        match self.0 {
            Pending::Elf(elf) => elf.read(edges),
        }
    }
}
