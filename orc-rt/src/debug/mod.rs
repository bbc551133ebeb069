//! Who is to be told of linked code in this process, besides the process itself: debuggers and profilers.
//!
//! You give descriptions of registered images ([`Session::describe`](crate::Session::describe)): each is an ELF file made for its image, with final
//! addresses, and its functions. You get them shown to whoever [`Session::watchers`](crate::Session::watchers) names, until the image goes. Nothing here
//! costs anything where nobody watches: no description is made then. **Not here:** the making of descriptions, which are the
//! controller's, because an executor never sees an object file.

mod elf;
mod frames;
pub(crate) mod gdb;
mod jitdump;
mod names;
mod own_file;
mod perf_map;
pub(crate) mod profile;
pub(crate) mod valgrind;

use dispatch::packed::{Pack, Reader, Unpack};
use dispatch::{PackError, packed_struct};
use std::str::FromStr;

bitflags::bitflags! {
    /// Who is to be told of images.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Hash)]
    pub struct Watchers: u8 {
        /// A debugger that reads the list of GDB's JIT interface: gdb, lldb.
        const DEBUGGER = 1;
        /// `perf`, through `/tmp/perf-PID.map`, for code in anonymous memory: neither where a controller shares its memory, nor where the process is denied
        /// to make executable what was writable.
        const PERF_MAP = 2;
        /// `perf inject --jit` and samply, through a file of records.
        const JITDUMP = 4;
        /// valgrind, under which the process runs.
        const VALGRIND = 8;
    }
}

/// Sets [`Watchers::DEBUGGER`] unless it is empty or `0`.
const DEBUG: &str = "ORC_DEBUG";
/// What [`Watchers::from_str`] reads.
const PROFILE: &str = "ORC_PROFILE";

impl Watchers {
    /// What the environment asks for: `ORC_DEBUG=1`, `ORC_PROFILE=perf-map,jitdump`. Words that mean nothing are told as a warning.
    #[must_use]
    pub fn from_environment() -> Self {
        let mut watchers = Self::empty();
        watchers.set(Self::DEBUGGER, std::env::var_os(DEBUG).is_some_and(|value| !value.is_empty() && value != "0"));
        let Some(profile) = std::env::var_os(PROFILE) else { return watchers };
        match profile.to_string_lossy().parse::<Self>() {
            Ok(profile) => watchers | profile,
            Err(error) => {
                tracing::warn!("{PROFILE}: {error}");
                watchers
            }
        }
    }
}

/// Words of a list that commas divide: `perf-map`, `jitdump`. Nothing is nobody.
impl FromStr for Watchers {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let words = text.split(',').map(str::trim).filter(|word| !word.is_empty());
        words.map(watcher).try_fold(Self::empty(), |all, one| Ok(all | one?))
    }
}

fn watcher(word: &str) -> Result<Watchers, String> {
    match word {
        "perf-map" => Ok(Watchers::PERF_MAP),
        "jitdump" => Ok(Watchers::JITDUMP),
        _ => Err(format!("`{word}` is no profile: it is perf-map, jitdump, or both with a comma between")),
    }
}

impl Pack for Watchers {
    fn pack(&self, out: &mut Vec<u8>) {
        self.bits().pack(out);
    }
}

impl<'a> Unpack<'a> for Watchers {
    const MIN_SIZE: usize = 1;
    fn unpack(reader: &mut Reader<'a>) -> Result<Self, PackError> {
        u8::unpack(reader).map(Self::from_bits_truncate)
    }
}

packed_struct! {
    /// What can be told of one image.
    #[derive(Debug, Clone, PartialEq, Eq, Default)]
    pub struct Description {
        /// The number of the image in its session.
        pub image: u64,
        /// The number of its dylib.
        pub dylib: u32,
        /// The name of its dylib.
        pub name: String,
        /// Its functions, by address; those that have no size are not among them.
        pub functions: Vec<Function>,
        /// Source files that lines speak of, as paths.
        pub paths: Vec<String>,
        /// An ELF file of type `ET_EXEC` (`ET_DYN` if its addresses are [relative](file_base)): sections of code and data without bytes (`SHT_NOBITS`) at their final addresses, `.eh_frame`, the
        /// symbol table, debug sections with final addresses, and program headers that cover the image's ranges.
        pub file: Vec<u8>,
        /// Where in the file the bytes of the image's call frame information go, which the executor has; 0 for nowhere.
        pub frames: u64,
    }

    /// One function of an image.
    #[derive(Debug, Clone, PartialEq, Eq, Default)]
    pub struct Function {
        /// Its first instruction.
        pub address: u64,
        /// Its size in bytes.
        pub size: u64,
        /// Its name, as objects spell it.
        pub name: String,
        /// Its lines, by address, where its object tells them; empty unless a watcher wants them ([`Watchers::JITDUMP`]).
        pub lines: Vec<Line>,
    }

    /// Where the instructions of one line begin.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
    pub struct Line {
        /// The first of them.
        pub address: u64,
        /// The source file: an index of [`Description::paths`].
        pub file: u32,
        /// The line, from 1.
        pub line: u32,
        /// The column, from 1; 0 where the compiler did not note it.
        pub column: u32,
    }
}

/// What is added to the addresses in an image's file when they are relative, given the lowest address of the image. No address in such a file is near 0, which
/// says of code that there is none. (Rust's std takes an object to whose addresses nothing is added for the program itself, and reads that.)
#[must_use]
pub fn file_base(lowest: u64) -> u64 {
    const PAGE: u64 = 0x1000;
    (lowest & !(PAGE - 1)).saturating_sub(PAGE)
}

impl Description {
    /// Puts the image's call frame information into the file, as far as there is room for it.
    pub(crate) fn fill_in(&mut self, frames: Option<&[u8]>) {
        let Some(frames) = frames.filter(|_| self.frames != 0) else { return };
        let start = usize::try_from(self.frames).unwrap_or(usize::MAX);
        if let Some(room) = start.checked_add(frames.len()).and_then(|end| self.file.get_mut(start..end)) {
            room.copy_from_slice(frames);
        }
    }
}

/// Makes the files that `watchers` are told by, so that a place that takes none is known before anything is linked.
pub(crate) fn begin(watchers: Watchers) -> Result<(), WatchError> {
    if watchers.contains(Watchers::PERF_MAP) {
        perf_map::begin().map_err(|(path, source)| WatchError::PerfMap { path, source })?;
    }
    if watchers.contains(Watchers::JITDUMP) {
        jitdump::begin().map_err(|source| WatchError::Jitdump { folder: jitdump::place(), source })?;
    }
    Ok(())
}

/// Whether valgrind is there, which is told without being asked for.
pub(crate) fn is_under_valgrind() -> bool {
    valgrind::is_there()
}

/// Why nobody can be told.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// perf's map cannot be made.
    #[error(
        "{path}, from which perf reads names of linked functions, cannot be made: {source}; is there one of another user?"
    )]
    PerfMap {
        /// Where it has to be.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// The file of records cannot be made.
    #[error("the jitdump file cannot be made in {folder}: {source}; JITDUMPDIR names another folder")]
    Jitdump {
        /// Where it was to be.
        folder: String,
        /// Why.
        source: std::io::Error,
    },
}

/// A file that could not be made is not tried again.
fn failed_before() -> std::io::Error {
    std::io::Error::other("it could not be written before")
}

/// What the process was told about one image; it is taken back when this is dropped, as far as it can be.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(crate) debugger: Option<gdb::Shown>,
    /// Who else.
    pub(crate) profilers: Watchers,
    /// What valgrind has to see until then.
    mapped: Vec<valgrind::Mapped>,
}

impl Told {
    /// Tells `watchers` what they have not been told; `profile` tells those that are profilers.
    pub(crate) fn tell(
        &mut self,
        watchers: Watchers,
        description: Description,
        profile: impl FnOnce(Watchers, &Description) -> Vec<valgrind::Mapped>,
    ) {
        let new = (watchers - Watchers::DEBUGGER) - self.profilers;
        if !new.is_empty() {
            self.mapped.extend(profile(new, &description));
            self.profilers |= new;
        }
        if watchers.contains(Watchers::DEBUGGER) && self.debugger.is_none() {
            self.debugger = Some(gdb::show(description.file.into_boxed_slice()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Watchers;

    #[test]
    fn profiles_are_named_in_a_list() {
        let both = Watchers::PERF_MAP | Watchers::JITDUMP;
        assert_eq!("perf-map, jitdump".parse(), Ok(both));
        assert_eq!("jitdump".parse(), Ok(Watchers::JITDUMP));
        assert_eq!("".parse(), Ok(Watchers::empty()));
        assert!("perf".parse::<Watchers>().is_err_and(|error| error.contains("perf-map")));
    }
}
