//! What a controller in another process asks of its executor: tags and messages.
//!
//! Calls that run code of the user (opens, closes, `main`) begin with the number of the thread of the controller that makes them: its
//! *lane*. Each lane has a thread in the executor, so that code which one thread of the controller runs is run by one thread here, and
//! lane 0 is the main thread. Results are `Result<_, String>`, whose text is for whoever asked.
//!
//! Memory is reserved, written and made final in one batch: [`RESERVE`](tag::RESERVE) gives addresses; the bytes go into shared memory, or travel with
//! [`FINALIZE`](tag::FINALIZE), which sets protections and registers images, all or nothing.

use crate::debug::Watchers;
use crate::image::{ImageId, ImageInfo, SymbolTable};
use crate::native::{NativeKind, NativeSymbol};
use crate::tls::{FirstContent, ThreadLocal, Wanted};
use dispatch::packed::{Pack, Reader, Unpack};
use dispatch::{PackError, packed_struct};
use dylib_graph::DylibId;

/// The tags that an executor serves.
pub mod tag {
    use dispatch::Tag;

    /// [`Attach`](super::Attach) to `Result<Attached, String>`: the first call. Descriptors that it speaks of travel with it.
    pub const ATTACH: Tag = Tag(0x6f72_6301_0000_0001);
    /// [`Reserve`](super::Reserve) to `Result<Reserved, String>`.
    pub const RESERVE: Tag = Tag(0x6f72_6301_0000_0002);
    /// [`Write`](super::Write) to `Result<(), String>`: a piece of a segment that is too large for one message.
    pub const WRITE: Tag = Tag(0x6f72_6301_0000_0003);
    /// [`Finalize`](super::Finalize) to `Result<Vec<u64>, String>`: the numbers of the images. Afterwards all of the memories are final, or none
    /// exists any more.
    pub const FINALIZE: Tag = Tag(0x6f72_6301_0000_0004);
    /// [`Release`](super::Release) to `()`.
    pub const RELEASE: Tag = Tag(0x6f72_6301_0000_0005);
    /// `String` to `Result<u32, String>`: opens a shared library.
    pub const OPEN_LIBRARY: Tag = Tag(0x6f72_6301_0000_0006);
    /// `(Option<u32>, Vec<String>)` to `Vec<Option<Native>>`: names in a library, or in the process.
    pub const LOOKUP: Tag = Tag(0x6f72_6301_0000_0007);
    /// `Vec<String>` to `Vec<Option<Native>>`: thread-local variables of the process.
    pub const LOOKUP_THREAD_LOCALS: Tag = Tag(0x6f72_6301_0000_0008);
    /// `Vec<(u64, u64)>` (address, size) to `Vec<Result<u64, String>>`: moves data of shared libraries below 2 GiB.
    pub const COPY_DATA: Tag = Tag(0x6f72_6301_0000_0009);
    /// `Vec<(u64, u64)>` (address, size) to `Vec<Result<Vec<u8>, String>>`: what memory holds now.
    pub const READ_MEMORY: Tag = Tag(0x6f72_6301_0000_000a);
    /// `Vec<Vec<u8>>` to `Result<(), String>`: what initializers and `main` get as `argv`.
    pub const SET_ARGUMENTS: Tag = Tag(0x6f72_6301_0000_000b);
    /// `u64` (lane) to `()`: the controller's thread has ended, and so does the lane's.
    pub const END_LANE: Tag = Tag(0x6f72_6301_0000_000c);
    /// `Vec<(u64, u64)>` (address, value) to `Result<(), String>`: writes slots of stubs.
    pub const WRITE_SLOTS: Tag = Tag(0x6f72_6301_0000_000d);
    /// `u64` (milliseconds, 0 for never) to `()`: how long a wait may last before it is told ([`notice::WAIT`](super::notice::WAIT)).
    pub const REPORT_WAITS: Tag = Tag(0x6f72_6301_0000_000e);
    /// [`Watchers`](crate::debug::Watchers) to `Result<(), String>`: who is to be told of images, besides those that are told already.
    pub const WATCH: Tag = Tag(0x6f72_6301_0000_000f);
    /// `Vec<`[`Description`](crate::debug::Description)`>` to `()`: tells them of images.
    pub const DESCRIBE: Tag = Tag(0x6f72_6301_0000_0010);

    /// `(u64, String, u32)` (lane, name, mode) to `Result<u64, String>`: `jit_dlopen`.
    pub const OPEN: Tag = Tag(0x6f72_6301_0000_0101);
    /// `(u64, u64)` (lane, handle) to `Result<(), String>`: `jit_dlclose`.
    pub const CLOSE: Tag = Tag(0x6f72_6301_0000_0102);
    /// `(u64, u64)` (lane, handle) to `Result<(), String>`: `jit_dlupdate`.
    pub const UPDATE: Tag = Tag(0x6f72_6301_0000_0103);
    /// `(u64, u32)` (lane, dylib) to `Result<(), String>`: unloads what nobody holds.
    pub const UNLOAD: Tag = Tag(0x6f72_6301_0000_0104);
    /// `(u64, u64, String)` (lane, handle, name) to `Result<u64, String>`: `jit_dlsym`.
    pub const SYMBOL: Tag = Tag(0x6f72_6301_0000_0105);
    /// `(u64, u64, Vec<Vec<u8>>)` (lane, entry, arguments) to `Result<i32, String>`: calls a `main`.
    pub const RUN_PROGRAM: Tag = Tag(0x6f72_6301_0000_0106);
    /// `(u64, i32)` (lane, status) to `()`: what `exit` does before the process ends.
    pub const END_PROGRAM: Tag = Tag(0x6f72_6301_0000_0107);
    /// `(u64, i32)` (lane, status): ends the process as `exit` does. It does not answer.
    pub const EXIT: Tag = Tag(0x6f72_6301_0000_0108);

    /// `(u64, Vec<u64>)` (lane, images) to `Result<(), String>`: takes images out, undoing what they have set up.
    pub const REMOVE: Tag = Tag(0x6f72_6301_0000_0109);
    /// `(u64, u32)` (lane, dylib) to `Result<(), String>`: runs what is new in a dylib that is loaded.
    pub const INITIALIZE: Tag = Tag(0x6f72_6301_0000_010a);
    /// `(u64, u64, Option<u64>)` (lane, handle, milliseconds) to `Result<(), String>`: `jit_dlclose`, which waits so long at most for those inside of
    /// what would go, and is refused otherwise. `None`: as [`CLOSE`].
    pub const CLOSE_WITH: Tag = Tag(0x6f72_6301_0000_010b);

    /// Whether the arguments of calls to this tag begin with a lane.
    pub fn has_lane(tag: Tag) -> bool {
        (OPEN..=CLOSE_WITH).contains(&tag)
    }
}

/// Subjects of notices, both ways.
pub mod notice {
    use dispatch::Tag;

    /// To the executor, `i32`: raise this signal in its process.
    pub const SIGNAL: Tag = Tag(0x100);
    /// To the executor, bytes: the program's standard input goes on. No bytes: it is at its end.
    pub const INPUT: Tag = Tag(0x101);
    /// From the executor, `u64`: so many more bytes of input may be sent.
    pub const INPUT_ROOM: Tag = Tag(0x102);
    /// From the executor, bytes: what the program wrote to standard output.
    pub const OUTPUT: Tag = Tag(0x103);
    /// From the executor, bytes: what it wrote to standard error.
    pub const ERRORS: Tag = Tag(0x104);
    /// From the executor, [`Ended`](super::Ended): its process has ended.
    pub const ENDED: Tag = Tag(0x105);
    /// To the executor, `u64`: so many bytes of output have been written.
    pub const OUTPUT_ROOM: Tag = Tag(0x106);
    /// From the executor, [`WaitReport`](crate::WaitReport): a wait lasts, or is over.
    pub const WAIT: Tag = Tag(0x107);
}

/// The bootstrap map's key of executors that serve [`tag`]; its value is [`VERSION`], packed as `u32`.
pub const VERSION_KEY: &str = "orc-rt.version";

/// The exit code of an executor that has lost its controller.
pub const CONTROLLER_LOST: i32 = 124;

/// Changes when messages do.
pub const VERSION: u32 = 4;

/// The bootstrap map's key for how the program's standard streams reach the controller's, a packed `u8`: see [`Stdio`].
pub const STDIO_KEY: &str = "orc-rt.stdio";

/// Bytes of output that an executor may have on their way, which the controller has not yet said to have written
/// ([`notice::OUTPUT_ROOM`]).
pub const OUTPUT_ROOM: u64 = 1 << 20;

/// How the program's standard streams reach the controller's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Stdio {
    /// It has those of the process that started it.
    #[default]
    Inherited = 0,
    /// Standard input and output travel as [`notice`]s; standard error is that of whatever started it.
    InputAndOutput = 1,
    /// All three travel as notices.
    Notices = 2,
    /// It waits for the controller's own, as descriptors beside [`tag::ATTACH`].
    Descriptors = 3,
}

impl Stdio {
    /// By number, as executors say it.
    #[must_use]
    pub fn from_number(number: u8) -> Self {
        let all = [Self::Inherited, Self::InputAndOutput, Self::Notices, Self::Descriptors];
        all.into_iter().find(|one| *one as u8 == number).unwrap_or_default()
    }
}

packed_struct! {
    /// The argument of [`tag::ATTACH`].
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
    pub struct Attach {
        /// A descriptor of so many bytes of shared memory comes along: linked code is written there.
        pub shared_memory: Option<u64>,
        /// Descriptors of standard input, output and error come along, after that: they become this process's.
        pub stdio: bool,
    }

    /// The executor, as the controller needs to know it.
    #[derive(Debug, Clone, PartialEq, Eq, Default)]
    pub struct Attached {
        /// What the runtime offers to linked code, by name.
        pub entry_points: Vec<(String, u64)>,
        /// The number of its process.
        pub process: u32,
        /// The shared memory is in use.
        pub shares_memory: bool,
        /// The address of a function that answers TLS descriptors.
        pub descriptor_function: u64,
        /// What debuggers count offsets of thread-local variables from: its distance from the thread pointer.
        pub thread_local_origin: i64,
    }

    /// A segment that is wanted.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct SegmentWanted {
        /// Bits of [`Prot`](crate::memory::Prot).
        pub prot: u8,
        /// Alignment of its address in bytes.
        pub align: u64,
        /// Its size in bytes.
        pub size: u64,
        /// How many of its first bytes will be written.
        pub content_size: u64,
    }

    /// The argument of [`tag::RESERVE`].
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Reserve {
        /// The segments.
        pub segments: Vec<SegmentWanted>,
        /// All of it below 2 GiB.
        pub low: bool,
        /// Thread-local storage.
        pub thread_local: Option<Wanted>,
    }

    /// Memory that is to be written.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Reserved {
        /// Its number.
        pub memory: u64,
        /// Addresses of the segments, and where each is in the shared memory (0 without one).
        pub segments: Vec<(u64, u64)>,
        /// Parts of the shared memory that hold old bytes: offset and size. They must be zeroed before anything is written.
        pub stale: Vec<(u64, u64)>,
        /// Where the thread-local storage is.
        pub thread_local: Option<ThreadLocal>,
        /// Who is to be told of what is linked there.
        pub watchers: Watchers,
    }

    /// The argument of [`tag::WRITE`].
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct Write<'a> {
        /// The number of the memory.
        pub memory: u64,
        /// Which segment.
        pub segment: u32,
        /// Where in it.
        pub offset: u64,
        /// What to write.
        pub bytes: &'a [u8],
    }

    /// The argument of [`tag::FINALIZE`].
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Finalize<'a> {
        /// Numbers of memories, and what to write to the beginning of each of their segments (nothing for shared memory).
        pub memories: Vec<(u64, Vec<&'a [u8]>)>,
        /// What to register, in order, once all of these are final. If one is refused, those before it are undone in reverse.
        pub images: Vec<ImageMessage>,
    }

    /// The argument of [`tag::RELEASE`]: images are released first.
    #[derive(Debug, Clone, PartialEq, Eq, Default)]
    pub struct Release {
        /// Images whose registrations are undone.
        pub images: Vec<u64>,
        /// Memories that are given back.
        pub memories: Vec<u64>,
    }

    /// [`ImageInfo`] as it travels.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct ImageMessage {
        /// Number of the dylib.
        pub dylib: u32,
        /// Its name.
        pub name: String,
        /// First and last+1 address of each range.
        pub ranges: Vec<(u64, u64)>,
        /// Its `__dso_handle`.
        pub dso_handle: u64,
        /// Address and size of its unwind table.
        pub eh_frame: Option<(u64, u64)>,
        /// Resolver and slot of its indirect functions.
        pub ifuncs: Vec<(u64, u64)>,
        /// What its thread-local storage begins with.
        pub thread_local: Option<FirstContent>,
        /// First and last+1 address of its slots.
        pub slots: (u64, u64),
        /// Its symbols: address, size, name. None, unless somebody may ask for them who cannot wait for the controller.
        pub symbols: Vec<(u64, u64, String)>,
    }

    /// A symbol of the process or of a library.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct Native {
        /// Its address.
        pub address: u64,
        /// What it is: 0 unknown, 1 function, 2 data, 3 thread-local.
        pub kind: u8,
        /// Where a thread-local one is.
        pub thread_local: Option<ThreadLocal>,
        /// Its size in bytes, if known.
        pub size: u64,
    }

    /// How an executor's process ended.
    #[derive(Debug, Clone, PartialEq, Eq, Default)]
    pub struct Ended {
        /// Its exit code, if it exited.
        pub code: Option<i32>,
        /// The signal that ended it, otherwise.
        pub signal: Option<i32>,
        /// What the signal was about, if its process could still tell.
        pub fault: Option<Fault>,
    }

    /// A signal that ended an executor, as its thread saw it.
    #[derive(Debug, Clone, PartialEq, Eq, Default)]
    pub struct Fault {
        /// Which signal.
        pub signal: i32,
        /// Its `si_code`: what kind of fault.
        pub code: i32,
        /// Its `si_addr`: the address that could not be accessed, or that of the instruction.
        pub address: u64,
        /// The instruction.
        pub instruction: u64,
        /// The stack pointer.
        pub stack: u64,
        /// What the instruction wanted of the address: 0 unknown, 1 read, 2 write, 3 execute.
        pub access: u8,
        /// The name of the thread; nothing for the main thread.
        pub thread: String,
        /// Return addresses, the innermost first, as far as the stack could be walked.
        pub frames: Vec<u64>,
    }
}

impl From<ImageInfo> for ImageMessage {
    fn from(info: ImageInfo) -> Self {
        let ImageInfo { dylib, name, ranges, dso_handle, eh_frame, ifuncs, thread_local, slots, symbols } = info;
        let slots = (slots.start, slots.end);
        let ranges = ranges.into_iter().map(|range| (range.start, range.end)).collect();
        let symbols = symbols.iter().map(|(address, size, name)| (address, size, name.to_owned())).collect();
        Self { dylib: dylib.get(), name, ranges, dso_handle, eh_frame, ifuncs, thread_local, slots, symbols }
    }
}

impl TryFrom<ImageMessage> for ImageInfo {
    type Error = String;

    fn try_from(message: ImageMessage) -> Result<Self, String> {
        let ImageMessage { dylib, name, ranges, dso_handle, eh_frame, ifuncs, thread_local, slots, symbols: all } =
            message;
        let slots = slots.0..slots.1;
        let dylib = DylibId::new(dylib).ok_or("a dylib has number 0")?;
        let ranges = ranges.into_iter().map(|(start, end)| start..end).collect();
        let mut symbols = SymbolTable::default();
        all.iter().for_each(|(address, size, name)| symbols.push(*address, *size, name));
        Ok(Self { dylib, name, ranges, dso_handle, eh_frame, ifuncs, thread_local, slots, symbols })
    }
}

impl From<NativeSymbol> for Native {
    fn from(symbol: NativeSymbol) -> Self {
        let NativeSymbol { address, kind, size } = symbol;
        let (kind, thread_local) = match kind {
            NativeKind::Unknown => (0, None),
            NativeKind::Function => (1, None),
            NativeKind::Data => (2, None),
            NativeKind::ThreadLocal(place) => (3, Some(place)),
        };
        Self { address, kind, thread_local, size }
    }
}

impl From<Native> for NativeSymbol {
    fn from(native: Native) -> Self {
        let Native { address, kind, thread_local, size } = native;
        let kind = match (kind, thread_local) {
            (1, _) => NativeKind::Function,
            (2, _) => NativeKind::Data,
            (3, Some(place)) => NativeKind::ThreadLocal(place),
            _ => NativeKind::Unknown,
        };
        Self { address, kind, size }
    }
}

impl Pack for ImageId {
    fn pack(&self, out: &mut Vec<u8>) {
        self.0.pack(out);
    }
}

impl<'a> Unpack<'a> for ImageId {
    const MIN_SIZE: usize = 8;
    fn unpack(reader: &mut Reader<'a>) -> Result<Self, PackError> {
        u64::unpack(reader).map(ImageId)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dispatch::packed::{from_bytes, to_bytes};

    #[test]
    fn an_image_survives_the_wire() {
        let place = ThreadLocal { module: 1, offset: 16, distance: Some(-64) };
        let info = || ImageInfo {
            dylib: DylibId::new(3).expect("not zero"),
            name: "main".into(),
            ranges: vec![0x1000..0x2000, 0x5000..0x5001],
            dso_handle: 0x1008,
            eh_frame: Some((0x1100, 0x40)),
            ifuncs: vec![(0x1200, 0x5000)],
            thread_local: Some(FirstContent { place, address: 0x1300, content_size: 4, size: 8 }),
            slots: 0x5000..0x5008,
            symbols: SymbolTable::default(),
        };
        let bytes = to_bytes(&ImageMessage::from(info()));
        let back = ImageInfo::try_from(from_bytes::<ImageMessage>(&bytes).expect("whole")).expect("a dylib");
        assert_eq!(format!("{back:?}"), format!("{:?}", info()));
        assert!(ImageInfo::try_from(ImageMessage { dylib: 0, ..ImageMessage::from(info()) }).is_err());
    }

    #[test]
    fn native_symbols_survive_the_wire() {
        let place = ThreadLocal { module: 2, offset: 8, distance: None };
        for kind in [NativeKind::Unknown, NativeKind::Function, NativeKind::Data, NativeKind::ThreadLocal(place)] {
            let symbol = NativeSymbol { address: 0x1234, kind, size: 8 };
            let native: Native = from_bytes(&to_bytes(&Native::from(symbol))).expect("whole");
            assert_eq!(NativeSymbol::from(native), symbol);
        }
    }

    #[test]
    fn only_calls_that_run_code_have_a_lane() {
        assert!(tag::has_lane(tag::OPEN) && tag::has_lane(tag::EXIT) && tag::has_lane(tag::SYMBOL));
        assert!(tag::has_lane(tag::REMOVE) && tag::has_lane(tag::INITIALIZE) && !tag::has_lane(tag::WRITE_SLOTS));
        assert!(tag::has_lane(tag::CLOSE_WITH) && !tag::has_lane(tag::REPORT_WAITS));
        assert!(!tag::has_lane(tag::RESERVE) && !tag::has_lane(tag::END_LANE) && !tag::has_lane(dispatch::Tag(1)));
    }
}
