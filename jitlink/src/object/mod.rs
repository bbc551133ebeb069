//! Readers: from the bytes of a relocatable object to blocks, symbols and edges of a [`LinkGraph`].
//!
//! One file (or folder) for each format; the machine's relocation numbers are not known here but in `reloc/`.

pub mod archive;
mod coff;
mod deferred;
pub mod detect;
pub mod elf;
pub mod mach_o;
pub mod universal;

use crate::graph::{Convention, Edges, LinkGraph, ObjectId};
pub use deferred::Deferred;
use deferred::Format;
use detect::FileKind;

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
    /// Two COMDAT sections of one name that cannot both be.
    #[error("COMDAT section '{symbol}' is in {first}, too, and {why}")]
    Comdat {
        /// The name.
        symbol: String,
        /// The object that had it first.
        first: String,
        /// What the rule says against the second one.
        why: String,
    },
    /// A value that all objects have to agree on.
    #[error("has '{value}' for '{key}', and {first} has '{said}' (/failifmismatch): compile both alike")]
    Mismatch {
        /// What it is about.
        key: String,
        /// What this object says.
        value: String,
        /// The object that said it first.
        first: String,
        /// What that says.
        said: String,
    },
    /// Its functions are called by another convention than those of objects before it.
    #[error(
        "its functions are called by another convention than those of {first}, Windows' and the system's: give each kind a dylib of its own"
    )]
    Convention {
        /// An object of the other kind.
        first: String,
    },
    /// Its relocations cannot be left for later.
    #[error("is in a format of which relocations are read at once")]
    AtOnce,
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
    let relocations = pending(graph, name, data, options)?;
    let (object, convention) = (relocations.object(), graph.object(relocations.object()).convention);
    match graph.follow(convention, object) {
        Ok(()) => Ok((object, Relocations(relocations))),
        Err(first) => {
            let problem = ObjectProblem::Convention { first: graph.object(first).name.clone() };
            Err(ObjectError { object: name.to_owned(), section: None, offset: None, problem })
        }
    }
}

/// Whether the functions of the object that `data` holds are called as those that are in the graph.
#[must_use]
pub fn suits(graph: &LinkGraph<'_>, data: &[u8]) -> bool {
    let convention = match FileKind::detect(data) {
        FileKind::Coff { .. } | FileKind::ImportObject => Convention::Microsoft,
        _ => Convention::System,
    };
    graph.convention.is_none_or(|(known, _)| known == convention)
}

/// Whether the object that `data` holds is one that [`read_deferred`] reads.
#[must_use]
pub fn can_be_deferred(data: &[u8]) -> bool {
    !matches!(FileKind::detect(data), FileKind::Coff { .. } | FileKind::ImportObject)
}

/// Has the reader of the object's format read it.
fn pending<'data>(
    graph: &mut LinkGraph<'data>,
    name: &str,
    data: &'data [u8],
    options: ReadOptions,
) -> Result<Pending<'data>, ObjectError> {
    Ok(match FileKind::detect(data) {
        FileKind::Coff { .. } | FileKind::ImportObject => Pending::Coff(coff::read(graph, name, data, options)?),
        FileKind::MachO(_) | FileKind::MachOUniversal => Pending::MachO(mach_o::read(graph, name, data, options)?),
        // What is no object at all is told there.
        _ => Pending::Elf(elf::read(graph, name, data, options)?),
    })
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
/// As [`read`]; what is wrong with relocations is told when they are read. [`can_be_deferred`] says of which objects none can be left for later.
pub fn read_deferred<'data>(
    graph: &mut LinkGraph<'data>,
    name: &str,
    data: &'data [u8],
    options: ReadOptions,
) -> Result<Deferred<'data>, ObjectError> {
    Ok(Deferred(match pending(graph, name, data, options)? {
        Pending::Elf(relocations) => Format::Elf(elf::Deferred::new(graph, relocations)),
        Pending::MachO(relocations) => Format::MachO(mach_o::Deferred::new(graph, relocations)),
        Pending::Coff(_) => {
            let object = name.to_owned();
            return Err(ObjectError { object, section: None, offset: None, problem: ObjectProblem::AtOnce });
        }
    }))
}

/// The relocations of an object whose sections and symbols are in a graph, not looked at yet.
#[derive(Debug)]
#[must_use = "a graph without them must not be linked"]
pub struct Relocations<'data>(Pending<'data>);

/// What each format's reader leaves for later.
#[derive(Debug)]
enum Pending<'data> {
    Elf(elf::Relocations<'data>),
    MachO(mach_o::Relocations<'data>),
    Coff(coff::Relocations<'data>),
}

impl Pending<'_> {
    fn object(&self) -> ObjectId {
        match self {
            Self::Elf(elf) => elf.object(),
            Self::MachO(mach_o) => mach_o.object(),
            Self::Coff(coff) => coff.object(),
        }
    }
}

impl Relocations<'_> {
    /// Roughly how many bytes of the file they are: what reading them will cost.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        match &self.0 {
            Pending::Elf(elf) => elf.bytes(),
            Pending::MachO(mach_o) => mach_o.bytes(),
            Pending::Coff(coff) => coff.bytes(),
        }
    }

    /// Makes edges of them, behind those of `edges`: of the same graph, in the order in which the objects were read. After an error nothing more is read.
    pub fn read(self, edges: &mut Edges) {
        if edges.has_failed() {
            return;
        }
        match self.0 {
            Pending::Elf(elf) => elf.read(edges),
            Pending::MachO(mach_o) => mach_o.read(edges),
            Pending::Coff(coff) => coff.read(edges),
        }
    }
}
