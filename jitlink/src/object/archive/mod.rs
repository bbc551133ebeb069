//! Archives of objects (`.a`, `.rlib`, `.lib`): which member defines what.
//!
//! **You give** the bytes of an archive: GNU (`/`, `/SYM64/`), BSD (`__.SYMDEF`, sorted or not, of 32 or 64 bits) or COFF (two linker
//! members), normal or thin. **You get** an index from names to members, and the members' bytes, all borrowed. An archive without an
//! index gets one, made from its members' symbol tables. **Not here:** which members a link needs, and the files that a
//! thin archive names: those are the caller's to read.
//!
//! ```
//! use jitlink::object::archive::{Archive, Content};
//! # let bytes = b"!<arch>\n";
//! let archive = Archive::parse(bytes)?;
//! if let Some(id) = archive.find(b"main") {
//!     let member = archive.member(id)?;
//!     match member.content {
//!         Content::Bytes(object) => println!("{} bytes", object.len()),
//!         Content::Thin(path) => println!("in another file: {}", String::from_utf8_lossy(path)),
//!     }
//! }
//! # Ok::<(), jitlink::object::archive::ArchiveError>(())
//! ```

mod thin;

use crate::arch::Machine;
use crate::graph::{Spelling, names};
use crate::object::detect::FileKind;
use crate::object::universal;
use hashbrown::HashTable;
use object::read::archive::{ArchiveFile, ArchiveMember, ArchiveOffset};
use object::{Object as _, ObjectSymbol as _};
use std::fmt;
use std::sync::OnceLock;

/// An archive, its index read.
#[derive(Debug)]
pub struct Archive<'data> {
    data: &'data [u8],
    file: ArchiveFile<'data>,
    /// Where members begin in a thin archive, and its table of long names.
    thin: (u64, &'data [u8]),
    index: Vec<(&'data [u8], MemberId)>,
    /// From names to positions in `index`, made when the first name is looked up: eight bytes a name.
    table: OnceLock<HashTable<(u32, u32)>>,
}

/// One member of an archive: the position of its header, which tells members of the same name apart.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct MemberId(u64);

impl MemberId {
    /// The member whose header stands there. Any position may be named: where no header is, no member is.
    #[must_use]
    pub fn from_offset(offset: u64) -> Self {
        Self(offset)
    }

    /// Where the member's header stands in the archive, in bytes.
    #[must_use]
    pub fn offset(self) -> u64 {
        self.0
    }
}

impl fmt::Display for MemberId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "member at {:#x}", self.0)
    }
}

/// A member's name and content.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Member<'data> {
    /// Which it is.
    pub id: MemberId,
    /// Its name as the archive spells it: for a thin archive a path.
    pub name: &'data [u8],
    /// What it holds.
    pub content: Content<'data>,
    /// The file that [`Content::Thin`] names is itself an archive, and holds it as this member: what `ar rcT` makes of archives.
    pub inside: Option<MemberId>,
}

impl Member<'_> {
    /// The bytes of a thin member, from those of the file that it names: all of them, or one member of that archive.
    ///
    /// # Errors
    /// When the file should be an archive and is not, or has no such member.
    pub fn in_file<'file>(&self, file: &'file [u8]) -> Result<&'file [u8], ArchiveError> {
        let Some(id) = self.inside else { return Ok(file) };
        // No index is read for it: a member costs the same wherever it stands.
        let archive = ArchiveFile::parse(file).map_err(|error| damaged_member(FIRST_MEMBER, error))?;
        let member = archive.member(ArchiveOffset(id.0)).map_err(|error| damaged_member(id.0, error))?;
        if member.is_thin() {
            return Err(damaged_member(id.0, "a thin archive in a thin archive"));
        }
        member.data(file).map_err(|error| damaged_member(id.0, error))
    }
}

/// Where a member's bytes are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Content<'data> {
    /// Here.
    Bytes(&'data [u8]),
    /// In the file of this name, relative to the folder of the (thin) archive.
    Thin(&'data [u8]),
}

/// The hash of a name, for those who look one name up in several archives.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NameHash(u32);

impl NameHash {
    /// The hash of `name`: the one under which graphs know it too.
    #[inline]
    #[must_use]
    pub fn of(name: &[u8]) -> Self {
        Self(names::hash(name))
    }
}

impl<'data> Archive<'data> {
    /// Reads the index of the archive that `data` holds.
    ///
    /// # Errors
    /// When it is no archive, its headers or its index are damaged, or it has no index and its members cannot be read for one.
    pub fn parse(data: &'data [u8]) -> Result<Self, ArchiveError> {
        let kind = FileKind::detect(data);
        if !kind.is_archive() {
            return Err(ArchiveError { offset: 0, problem: ArchiveProblem::NotAnArchive(kind.to_string()) });
        }
        let damaged = |error: object::read::Error| ArchiveError {
            offset: FIRST_MEMBER,
            problem: ArchiveProblem::Index(error.to_string()),
        };
        let file = ArchiveFile::parse(data).map_err(damaged)?;
        let thin = if file.is_thin() { thin::prologue(data)? } else { (0, &[][..]) };
        let mut archive = Self { data, file, thin, index: Vec::new(), table: OnceLock::new() };
        match file.symbols().map_err(damaged)? {
            Some(symbols) => {
                archive.index.reserve(symbols.size_hint().0);
                for symbol in symbols {
                    let symbol = symbol.map_err(damaged)?;
                    archive.index.push((symbol.name(), MemberId(symbol.offset().0)));
                }
            }
            None => archive.index_members()?,
        }
        if u32::try_from(archive.index.len()).is_err() {
            return Err(damaged_index("more than 2^32 names"));
        }
        Ok(archive)
    }

    /// As [`Self::parse`], of the part for `machine` where `data` is a universal file, and with the names of its index spelled as a graph of that machine spells
    /// them ([`LinkGraph::spelled`](crate::LinkGraph::spelled)).
    ///
    /// # Errors
    /// As [`Self::parse`], and when a universal file has no part for the machine.
    pub fn parse_for(data: &'data [u8], machine: &Machine, spelling: Spelling) -> Result<Self, ArchiveError> {
        let part = universal::part(data, machine);
        let part =
            part.map_err(|problem| ArchiveError { offset: 0, problem: ArchiveProblem::Part(problem.to_string()) })?;
        let mut archive = Self::parse(part)?;
        if spelling == Spelling::C && archive.is_mach_o() {
            for (name, _) in &mut archive.index {
                *name = name.strip_prefix(b"_").unwrap_or(name);
            }
        }
        Ok(archive)
    }

    /// Whether the first object among the members is of the format that puts an underscore before names.
    fn is_mach_o(&self) -> bool {
        let first = self.index.first().and_then(|(_, id)| self.member(*id).ok());
        first.is_some_and(|member| match member.content {
            Content::Bytes(bytes) => matches!(FileKind::detect(bytes), FileKind::MachO(_)),
            Content::Thin(_) => false,
        })
    }

    /// Whether the members' bytes stand in other files.
    #[must_use]
    pub fn is_thin(&self) -> bool {
        self.file.is_thin()
    }

    /// The names that members define, in the order of the index: a name may come several times.
    pub fn symbols(&self) -> impl ExactSizeIterator<Item = (&'data [u8], MemberId)> + '_ {
        self.index.iter().copied()
    }

    /// The first member, in the order of the index, that defines `name`.
    #[must_use]
    pub fn find(&self, name: &[u8]) -> Option<MemberId> {
        self.find_hashed(name, NameHash::of(name))
    }

    /// As [`Self::find`], with the name's hash.
    #[inline]
    #[must_use]
    pub fn find_hashed(&self, name: &[u8], NameHash(hash): NameHash) -> Option<MemberId> {
        let table = self.table.get_or_init(|| self.build_table());
        let same = |(h, at): &(u32, u32)| *h == hash && self.index[*at as usize].0 == name;
        table.find(names::spread(hash), same).map(|(_, at)| self.index[*at as usize].1)
    }

    fn build_table(&self) -> HashTable<(u32, u32)> {
        let mut table = HashTable::with_capacity(self.index.len());
        for (at, (name, _)) in self.index.iter().enumerate() {
            let hash = names::hash(name);
            let same = |(h, at): &(u32, u32)| *h == hash && self.index[*at as usize].0 == *name;
            let entry = table.entry(names::spread(hash), same, |(hash, _)| names::spread(*hash));
            // The first one stays.
            entry.or_insert((hash, at as u32));
        }
        table
    }

    /// One member.
    ///
    /// # Errors
    /// When the index named a place where no member is, or its content reaches beyond the archive.
    pub fn member(&self, id: MemberId) -> Result<Member<'data>, ArchiveError> {
        if self.is_thin() {
            return thin::member(self.data, self.thin.1, id);
        }
        let member = self.file.member(ArchiveOffset(id.0));
        self.convert(id, &member.map_err(|error| damaged_member(id.0, error))?)
    }

    /// All members in their order, for `--whole-archive`; without indexes, tables of names, and the metadata of a Rust library.
    pub fn members(&self) -> impl Iterator<Item = Result<Member<'data>, ArchiveError>> + '_ {
        let mut members = self.file.members();
        let mut next = if self.is_thin() { self.thin.0 } else { FIRST_MEMBER };
        let members = std::iter::from_fn(move || {
            if self.is_thin() {
                if next >= self.data.len() as u64 {
                    return None;
                }
                let member = self.member(MemberId(next));
                // After damage nobody knows where the next one begins.
                next = if member.is_ok() { next + HEADER_SIZE } else { u64::MAX };
                return Some(member);
            }
            let member = match members.next()? {
                Ok(member) => member,
                Err(error) => return Some(Err(damaged_member(next, error))),
            };
            let Some(id) = self.id_of(&member) else { return Some(Err(damaged_index("of an unknown kind"))) };
            next = id.0.saturating_add(HEADER_SIZE).saturating_add(member.size());
            Some(self.convert(id, &member))
        });
        members.filter(|member| !member.as_ref().is_ok_and(|member| member.name == RUST_METADATA))
    }

    fn convert(&self, id: MemberId, member: &ArchiveMember<'data>) -> Result<Member<'data>, ArchiveError> {
        let bytes = member.data(self.data).map_err(|error| damaged_member(id.0, error))?;
        Ok(Member { id, name: member.name(), content: Content::Bytes(bytes), inside: None })
    }

    /// The place of a member's header: it is borrowed from the archive.
    fn id_of(&self, member: &ArchiveMember<'data>) -> Option<MemberId> {
        let header = std::ptr::from_ref(member.header()?).addr();
        Some(MemberId((header - self.data.as_ptr().addr()) as u64))
    }

    /// Makes the index that the archive lacks, as `ranlib` would: all names that are defined (tentatively, too) and not local.
    fn index_members(&mut self) -> Result<(), ArchiveError> {
        let mut index = Vec::new();
        for member in self.members() {
            let member = member?;
            let Content::Bytes(bytes) = member.content else {
                return Err(ArchiveError { offset: member.id.0, problem: ArchiveProblem::ThinWithoutIndex });
            };
            if !matches!(FileKind::detect(bytes), FileKind::Elf(_) | FileKind::MachO(_) | FileKind::Coff { .. }) {
                continue;
            }
            let damaged = |error: object::read::Error| ArchiveError {
                offset: member.id.0,
                problem: ArchiveProblem::Symbols {
                    member: String::from_utf8_lossy(member.name).into_owned(),
                    problem: error.to_string(),
                },
            };
            let object = object::File::parse(bytes).map_err(damaged)?;
            for symbol in object.symbols() {
                if symbol.is_global() && !symbol.is_undefined() {
                    index.push((symbol.name_bytes().map_err(damaged)?, member.id));
                }
            }
        }
        self.index = index;
        Ok(())
    }
}

/// After the magic number.
const FIRST_MEMBER: u64 = 8;
/// Bytes in a member's header.
const HEADER_SIZE: u64 = 60;
/// What `rustc` writes for itself.
const RUST_METADATA: &[u8] = b"lib.rmeta";

/// An archive that cannot be read, and where in it the reason stands.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("archive offset {offset:#x}: {problem}")]
pub struct ArchiveError {
    /// Where, in bytes from the start of the archive.
    pub offset: u64,
    /// What is wrong.
    pub problem: ArchiveProblem,
}

/// What can be wrong with an archive.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArchiveProblem {
    /// It is something else.
    #[error("not an archive but {0}")]
    NotAnArchive(String),
    /// It is universal, and no part of it can be taken.
    #[error("{0}")]
    Part(String),
    /// The index cannot be followed.
    #[error("damaged index: {0}; `ranlib` writes a new one")]
    Index(String),
    /// A member cannot be found or ends after the archive.
    #[error("damaged member: {0}")]
    Member(String),
    /// There is no index, and a member has no readable symbol table to make one from.
    #[error("no index, and {member} cannot be read for one: {problem}")]
    Symbols {
        /// The member's name.
        member: String,
        /// Why not.
        problem: String,
    },
    /// There is no index, and no member to make one from.
    #[error("a thin archive without an index; `ranlib` writes one")]
    ThinWithoutIndex,
}

fn damaged_member(offset: u64, error: impl fmt::Display) -> ArchiveError {
    ArchiveError { offset, problem: ArchiveProblem::Member(error.to_string()) }
}

fn damaged_index(what: &str) -> ArchiveError {
    ArchiveError { offset: FIRST_MEMBER, problem: ArchiveProblem::Index(what.to_owned()) }
}
