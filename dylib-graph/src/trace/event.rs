//! What can happen, as a loader reports it.
//!
//! You give events in the order in which they happened, each with who did it; [`Trace`](super::Trace) holds them. Not everything
//! needs to be reported: a rule about handlers says nothing of a trace without handlers.

use crate::graph::DylibId;
use crate::init::InitSection;
use crate::loader::VisitorId;
use crate::scope::Scope;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    // Dylibs, calls, initializers, finalizers.
    /// A link order was replaced.
    Link {
        /// Whose.
        dylib: DylibId,
        /// By what.
        links: Vec<DylibId>,
    },
    /// A dylib got code that has initializers.
    Code {
        /// Which.
        dylib: DylibId,
    },
    /// The loader was called.
    Begin {
        /// For what.
        call: Call,
        /// With which dylib.
        dylib: DylibId,
    },
    /// The call returned; calls of one visitor nest.
    End {
        /// For what it was.
        call: Call,
        /// With which dylib.
        dylib: DylibId,
        /// Whether it succeeded.
        ok: bool,
    },
    /// The initializers of a dylib begin.
    Init {
        /// Whose.
        dylib: DylibId,
    },
    /// They are over.
    InitEnd {
        /// Whose.
        dylib: DylibId,
        /// Whether they all returned.
        ok: bool,
    },
    /// These dylibs are going to be unloaded together, by the visitor's innermost call.
    Unload {
        /// Which, in ascending order.
        dylibs: Vec<DylibId>,
    },
    /// One run of initializers is about to be undone.
    Fini {
        /// Whose.
        dylib: DylibId,
    },
    /// It is undone.
    FiniEnd {
        /// Whose.
        dylib: DylibId,
    },
    /// The memory of these dylibs goes, but for what was parked; they can be opened again.
    Release {
        /// Which, in ascending order.
        dylibs: Vec<DylibId>,
    },
    /// One function of a dylib's arrays is called, between `Init` and `InitEnd`.
    Initializer {
        /// Whose.
        dylib: DylibId,
        /// Which batch of its code.
        batch: u32,
        /// The array, and where that stands.
        section: InitSection,
        /// Which entry of the array.
        entry: u32,
    },

    // What calls were given, and how they ended.
    /// This dylib is the program: the one that `dlopen(NULL)` opens.
    Program {
        /// Which.
        dylib: DylibId,
    },
    /// The visitor's innermost call, which has just begun, has this mode.
    Mode {
        /// The flags.
        mode: Mode,
    },
    /// Somebody asked how often a dylib is open.
    Count {
        /// Which.
        dylib: DylibId,
        /// What the loader said.
        count: u64,
    },
    /// Everything of the dylib is linked and has its place in memory, for the visitor's innermost call.
    Place {
        /// Which.
        dylib: DylibId,
    },
    /// The dylib cannot be linked: the visitor's innermost call cannot succeed.
    Unplaceable {
        /// Which.
        dylib: DylibId,
    },
    /// The memory of a dylib that was placed and never ran is given back.
    Displace {
        /// Which.
        dylib: DylibId,
    },
    /// A cause for calls to fail came or went.
    Cause {
        /// With which dylib.
        dylib: DylibId,
        /// Whether it went.
        mended: bool,
    },
    /// The visitor's error text was set, by what it calls.
    Error {
        /// The text.
        text: String,
        /// The dylibs that the text names.
        names: Vec<DylibId>,
    },
    /// The visitor asked for its error text (`dlerror`).
    Taken {
        /// What it got.
        text: Option<String>,
    },

    // Who waits for whom.
    /// To open or update `root`, the visitor begins to wait for `dylib`.
    Wait {
        /// What is opened or updated.
        root: DylibId,
        /// What somebody else is at, or has next.
        dylib: DylibId,
    },
    /// The wait is over.
    Waited,
    /// The visitor has started another one.
    Start {
        /// The new one.
        thread: VisitorId,
    },
    /// The visitor begins to wait until another one has done everything.
    Join {
        /// For whom.
        thread: VisitorId,
    },
    /// It has.
    Joined {
        /// Who.
        thread: VisitorId,
    },

    // What the code of a dylib does.
    /// The visitor enters the code of an initialized dylib, not through the loader.
    Enter {
        /// Whose.
        dylib: DylibId,
    },
    /// It leaves that code.
    Leave {
        /// Whose.
        dylib: DylibId,
    },
    /// The memory of a dylib that is about to be released stays, since somebody is inside.
    Park {
        /// Whose.
        dylib: DylibId,
    },
    /// Memory that was parked goes.
    Free {
        /// Whose.
        dylib: DylibId,
    },
    /// Code of a dylib counts a counter in its own data up.
    Touch {
        /// Whose.
        dylib: DylibId,
        /// What the counter was before.
        before: u64,
    },
    /// `atexit` was called.
    AtExit {
        /// To which dylib the loader has given the handler.
        dylib: DylibId,
        /// A number for the handler, which no other has.
        handler: u64,
    },
    /// A handler begins.
    Handler {
        /// Whose.
        dylib: DylibId,
        /// Which.
        handler: u64,
    },
    /// It has returned.
    HandlerEnd {
        /// Whose.
        dylib: DylibId,
        /// Which.
        handler: u64,
    },
    /// Code of a dylib made an object of the visitor's own, which has a destructor.
    ThreadLocal {
        /// Whose code.
        dylib: DylibId,
        /// A number for the object, which no other has.
        object: u64,
    },
    /// The destructor runs, on this visitor.
    ThreadLocalEnd {
        /// Whose code.
        dylib: DylibId,
        /// Which object.
        object: u64,
    },

    // Names.
    /// A dylib defines a symbol.
    Define {
        /// Which.
        dylib: DylibId,
        /// What and how.
        definition: Definition,
    },
    /// The definitions of a dylib are its own: they yield to nobody's. Others may yield to them, as to a library that was linked with `-Bsymbolic`.
    Apart {
        /// Which.
        dylib: DylibId,
    },
    /// A symbol was looked up.
    Lookup {
        /// Where.
        scope: Scope,
        /// Whose code asked.
        asking: Option<DylibId>,
        /// What for.
        symbol: String,
        /// Who was found to define it.
        found: Option<DylibId>,
    },
    /// A weak reference was bound.
    Refer {
        /// Whose.
        dylib: DylibId,
        /// To what.
        symbol: String,
        /// Who was found to define it; nobody means that it is null.
        found: Option<DylibId>,
    },
    /// It was decided whose definition a dylib uses, which has a weak, grouped or unique one of its own.
    Unify {
        /// Which.
        dylib: DylibId,
        /// The symbol.
        symbol: String,
        /// Whose it is: the dylib itself where its own stands.
        owner: DylibId,
    },
    /// Somebody asked what lies at an address (`dladdr`).
    Describe {
        /// In whose memory it is.
        dylib: DylibId,
        /// How far in.
        at: u64,
        /// What the loader said.
        said: Option<Described>,
    },
    /// A dylib can be opened under this name.
    Named {
        /// Which.
        dylib: DylibId,
        /// Its name.
        name: String,
    },
    /// Linked code asked for a library by name, with a function of dlfcn.h.
    Resolve {
        /// The name.
        name: String,
        /// What it got.
        to: Resolved,
    },
}

/// How a loader is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Call {
    /// Open.
    Open,
    /// Open, and give up on the way: it never succeeds.
    Cut,
    /// Run what is new.
    Update,
    /// Close.
    Close,
    /// Unload a dylib whose first run threw.
    Unload,
    /// Not called by anybody: an open or update has ended, and with it goes what was closed meanwhile. Names the same dylib.
    Deferred,
    /// The program ends: everything that has completed is undone, whoever holds it. Names the program, or any dylib.
    Exit,
}

/// What an open is told besides the dylib (dlopen(3)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mode {
    /// Only if it is loaded.
    pub noload: bool,
    /// Never unload it.
    pub nodelete: bool,
    /// Its symbols serve [`Scope::Default`].
    pub global: bool,
    /// The caller gave no name: it wants the program.
    pub null: bool,
}

/// A symbol that a dylib defines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Definition {
    /// Its name.
    pub symbol: String,
    /// How it stands to others of that name.
    pub kind: Kind,
    /// Where it lies in the dylib's memory, in bytes.
    pub at: u64,
}

/// How a definition stands to others of its name (rule 30).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Its dylib uses it whatever others define.
    Strong,
    /// Yields to the first in the order of lookups.
    Weak,
    /// Belongs to the COMDAT group of this name, which yields as a whole or stands as a whole.
    Group(String),
    /// One for the whole session, whoever links against whom.
    Unique,
    /// Nobody else can see it.
    Hidden,
}

/// What an address was said to be (rule 28).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Described {
    /// In whose memory.
    pub dylib: DylibId,
    /// The symbol at or before it, and the distance from that in bytes.
    pub symbol: Option<(String, u64)>,
}

/// Who has a library of a name (rule 29).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolved {
    /// This dylib.
    Dylib(DylibId),
    /// The system's loader.
    System,
    /// Nobody.
    Nobody,
}
