//! The services of LLVM's executor, typed: one function for each that is used, and what our own page of code adds.
//!
//! The names, arguments and results are those of LLVM 19. Every call is a message there and one back, served by a thread that the
//! executor starts for it.

use super::code;
use super::process::Ending;
use crate::executor::ExecutorError;
use dispatch::packed::{Pack, Status, Unpack, to_bytes};
use dispatch::{CallError, Caller, Peer, Setup, Tag, call_typed, packed_struct};
use jitlink::graph::Prot;
use std::process::ExitStatus;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

type Result<T> = std::result::Result<T, ExecutorError>;

/// How long after the connection is gone the end of the process is waited for.
const LAST_WORD: Duration = Duration::from_secs(2);

macro_rules! services {
    ($($field:ident: $name:literal,)*) => {
        /// Addresses of what the executor names in its Setup.
        #[derive(Debug, Clone, Copy)]
        struct Services {
            $($field: u64,)*
        }

        impl Services {
            const NAMES: &[&str] = &[$($name,)*];

            fn of(setup: &Setup) -> Option<Self> {
                Some(Self { $($field: setup.symbol($name)?,)* })
            }
        }
    };
}

services! {
    dylibs: "__llvm_orc_SimpleExecutorDylibManager_Instance",
    open: "__llvm_orc_SimpleExecutorDylibManager_open_wrapper",
    lookup: "__llvm_orc_SimpleExecutorDylibManager_lookup_wrapper",
    memory: "__llvm_orc_SimpleExecutorMemoryManager_Instance",
    reserve: "__llvm_orc_SimpleExecutorMemoryManager_reserve_wrapper",
    finalize: "__llvm_orc_SimpleExecutorMemoryManager_finalize_wrapper",
    deallocate: "__llvm_orc_SimpleExecutorMemoryManager_deallocate_wrapper",
    write_words: "__llvm_orc_bootstrap_mem_write_uint64s_wrapper",
    write_buffers: "__llvm_orc_bootstrap_mem_write_buffers_wrapper",
    register_frames: "llvm_orc_registerEHFrameSectionWrapper",
    deregister_frames: "llvm_orc_deregisterEHFrameSectionWrapper",
}

/// Whether everything that is needed is there.
pub(super) fn is_spoken_by(setup: &Setup) -> bool {
    Services::of(setup).is_some()
}

packed_struct! {
    /// Bytes and a protection for part of a reservation. Bits: 1 read, 2 write, 4 execute.
    pub(super) struct Segment<'a> {
        pub(super) prot: u8,
        pub(super) address: u64,
        pub(super) size: u64,
        pub(super) content: &'a [u8],
    }

    /// A wrapper function, and its packed arguments. Address 0: nothing is called.
    struct Action {
        function: u64,
        arguments: Vec<u8>,
    }

    /// Actions run in order, each with what undoes it when the memory goes.
    struct Finalize<'a> {
        memory: u64,
        segments: Vec<Segment<'a>>,
        actions: Vec<(Action, Action)>,
    }
}

/// The wire's word for a protection.
pub(super) fn wire_prot(prot: Prot) -> u8 {
    let bit = |which, bit| if prot.contains(which) { bit } else { 0 };
    bit(Prot::READ, 1) | bit(Prot::WRITE, 2) | bit(Prot::EXEC, 4)
}

/// Functions to call in turn: arrays of pointers in the executor's memory, or single functions.
#[derive(Debug, Clone, Copy)]
pub(super) struct Array {
    pub(super) address: u64,
    pub(super) count: u64,
    /// From one entry to the next, in bytes; 0: `address` is the function itself.
    pub(super) step: i64,
}

impl Array {
    /// One function.
    pub(super) fn function(address: u64) -> Self {
        Self { address, count: 1, step: 0 }
    }
}

/// What dladdr1(3) says of an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Described {
    /// `st_info`, or 256 where a library covers the address and no symbol begins there, or 0.
    pub(super) info: u64,
    pub(super) size: u64,
}

/// Functions of the process's C library.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct CLibrary {
    pub(super) cxa_atexit: u64,
    pub(super) cxa_finalize: u64,
    pub(super) exit: u64,
    pub(super) environ: u64,
    pub(super) malloc: u64,
    pub(super) free: u64,
    pub(super) mmap: u64,
    pub(super) munmap: u64,
    pub(super) mprotect: u64,
    dladdr1: u64,
    dlvsym: u64,
}

/// A connected executor with our page of code in it.
#[derive(Debug)]
pub(super) struct Remote {
    peer: Peer,
    services: Services,
    /// What names of the process itself are looked up in.
    process: u64,
    page_size: u64,
    c: CLibrary,
    /// Where our code is.
    code: u64,
    /// Where the address of the latest record is kept.
    list: u64,
    ending: OnceLock<Arc<Ending>>,
}

impl Remote {
    /// Looks up what is needed, brings our code in.
    pub(super) fn over(peer: Peer) -> Result<Self> {
        let none = Setup::default();
        let setup = peer.setup().unwrap_or(&none);
        let Some(services) = Services::of(setup) else {
            let missing = Services::NAMES.iter().find(|name| setup.symbol(name).is_none());
            let missing = missing.copied().unwrap_or_default();
            return Err(ExecutorError(format!(
                "{} is not an executor of LLVM 19: it does not offer {missing}",
                peer.name()
            )));
        };
        if !(setup.triple.starts_with("x86_64-") && setup.triple.contains("linux")) {
            let triple = &setup.triple;
            return Err(ExecutorError(format!(
                "LLVM's executor runs code of {triple}; only x86_64 Linux can be driven through its services"
            )));
        }
        let page_size = setup.page_size;
        if !page_size.is_power_of_two() || page_size < code::bytes().len() as u64 {
            return Err(ExecutorError(format!("LLVM's executor says that its pages have {page_size} bytes")));
        }
        let c = CLibrary::default();
        let mut remote = Self { peer, services, process: 0, page_size, c, code: 0, list: 0, ending: OnceLock::new() };
        remote.process = remote.open("")?;
        remote.c = remote.c_library()?;
        remote.bring_code()?;
        Ok(remote)
    }

    fn c_library(&self) -> Result<CLibrary> {
        const NEEDED: [&str; 9] =
            ["__cxa_atexit", "__cxa_finalize", "exit", "environ", "malloc", "free", "mmap", "munmap", "mprotect"];
        let mut found = self.addresses(self.process, &NEEDED)?;
        if let Some(missing) = found.iter().position(|address| *address == 0) {
            return Err(ExecutorError(format!("the process of LLVM's executor has no {}", NEEDED[missing])));
        }
        found.extend(self.addresses(self.process, &["dladdr1", "dlvsym"])?);
        let [cxa_atexit, cxa_finalize, exit, environ, malloc, free, mmap, munmap, mprotect, dladdr1, dlvsym] =
            found[..]
        else {
            return Err(ExecutorError("LLVM's executor answered a lookup with another number of addresses".into()));
        };
        Ok(CLibrary { cxa_atexit, cxa_finalize, exit, environ, malloc, free, mmap, munmap, mprotect, dladdr1, dlvsym })
    }

    /// One page of code, and one that holds the address of the latest record. They stay as long as the process.
    fn bring_code(&mut self) -> Result<()> {
        self.code = self.reserve(2 * self.page_size)?;
        self.list = self.code + self.page_size;
        let content = code::bytes();
        let page = |prot, address, content| Segment { prot: wire_prot(prot), address, size: self.page_size, content };
        let segments =
            vec![page(Prot::READ | Prot::EXEC, self.code, &content), page(Prot::READ | Prot::WRITE, self.list, &[])];
        self.finalize(segments, None)?;
        // The first handler of all that linked code may register, so the last to run: finalizers come after the handlers of a program, as
        // they do natively.
        self.call(self.c.cxa_atexit, &[self.entry("at_exit")?, self.list, 0], "registering an exit handler")?;
        Ok(())
    }

    pub(super) fn peer(&self) -> &Peer {
        &self.peer
    }

    pub(super) fn page_size(&self) -> u64 {
        self.page_size
    }

    pub(super) fn c(&self) -> &CLibrary {
        &self.c
    }

    /// What names of the process itself are looked up in.
    pub(super) fn process(&self) -> u64 {
        self.process
    }

    /// Where the address of the latest record is kept.
    pub(super) fn list(&self) -> u64 {
        self.list
    }

    /// The address of one of our own functions.
    pub(super) fn entry(&self, label: &str) -> Result<u64> {
        let offset = code::offset(label);
        offset.map(|offset| self.code + offset).ok_or_else(|| ExecutorError(format!("no code is called {label}")))
    }

    /// The process ends soon after its parent has, whatever it is doing: by itself it would go on until linked code returns. Without the
    /// functions for it, it does.
    pub(super) fn guard(&self, parent: u32) -> Result<()> {
        const NEEDED: [&str; 5] = ["getppid", "usleep", "_exit", "pthread_sigmask", "pthread_create"];
        let doing = "starting a thread that watches its parent";
        let found = self.addresses(self.process, &NEEDED)?;
        let [getppid, usleep, exit, sigmask, create] = found[..] else { return Ok(()) };
        if found.contains(&0) {
            return Ok(());
        }
        let words = [parent.into(), getppid, usleep, exit, sigmask];
        let mut data: Vec<u8> = words.iter().flat_map(|word: &u64| word.to_le_bytes()).collect();
        // It blocks all signals, which are for the program's threads. Behind their set: the thread's own number, which nobody needs.
        data.resize(data.len() + 128, 0xff);
        let thread = data.len() as u64;
        data.extend([0; 8]);
        let at = self.place(&data)?;
        if self.call(create, &[at + thread, 0, self.entry("guard")?, at], doing)? as i32 != 0 {
            return Err(Self::refused(doing, "pthread_create failed"));
        }
        Ok(())
    }

    /// From now on the end of the process is known.
    pub(super) fn set_ending(&self, ending: Arc<Ending>) {
        // A second process cannot be at the other end of the same connection.
        let _ = self.ending.set(ending);
    }

    /// Whether nothing can be asked any more.
    pub(super) fn is_over(&self) -> bool {
        self.peer.closed().is_some()
    }

    /// How the process ended, when it is watched and the connection is over.
    pub(super) fn exit_status(&self) -> Option<ExitStatus> {
        self.ending.get().filter(|_| self.is_over())?.within(LAST_WORD)
    }

    fn ask<A: Pack, R: for<'a> Unpack<'a>>(&self, service: u64, arguments: &A, doing: &str) -> Result<R> {
        call_typed(&self.peer, Tag(service), arguments).map_err(|error| self.failed(&error, doing))
    }

    fn failed(&self, error: &CallError, doing: &str) -> ExecutorError {
        ExecutorError(match error {
            CallError::Disconnected(disconnect) => match self.exit_status() {
                Some(status) => format!("LLVM's executor ended while {doing}: {status}"),
                None => format!("LLVM's executor is gone while {doing}: {disconnect}"),
            },
            // Its errors out of band arrive without their text.
            CallError::BadReply { error: dispatch::PackError::Truncated { offset: 0, remaining: 0, .. }, .. } => {
                format!("LLVM's executor could not be understood while {doing}: its answer is empty")
            }
            error => format!("LLVM's executor failed while {doing}: {error}"),
        })
    }

    fn refused(doing: &str, reason: &str) -> ExecutorError {
        ExecutorError(format!("LLVM's executor refused while {doing}: {reason}"))
    }

    /// Opens a shared library; the empty name is the process. Answers the handle to look names up in.
    pub(super) fn open(&self, name: &str) -> Result<u64> {
        let opened: std::result::Result<u64, String> =
            self.ask(self.services.open, &(self.services.dylibs, name, 0u64), "opening a shared library")?;
        opened.map_err(|reason| ExecutorError(format!("cannot open the shared library {name}: {reason}")))
    }

    /// Addresses of names, 0 for those that are not there.
    pub(super) fn addresses(&self, handle: u64, names: &[&str]) -> Result<Vec<u64>> {
        let doing = "looking up symbols";
        let names: Vec<(&str, bool)> = names.iter().map(|name| (*name, false)).collect();
        // Each with two bytes of flags, which say "exported" whatever it is.
        let found: std::result::Result<Vec<(u64, u8, u8)>, String> =
            self.ask(self.services.lookup, &(self.services.dylibs, handle, names), doing)?;
        let found = found.map_err(|reason| Self::refused(doing, &reason))?;
        Ok(found.into_iter().map(|(address, ..)| address).collect())
    }

    /// The address of a version of a name, 0 if it is not there.
    pub(super) fn versioned(&self, handle: u64, name: &str, version: &str) -> Result<u64> {
        if self.c.dlvsym == 0 {
            return Ok(0);
        }
        let text = format!("{name}\0{version}\0");
        let at = self.place(text.as_bytes())?;
        let found =
            self.call(self.c.dlvsym, &[handle, at, at + name.len() as u64 + 1], "looking up a symbol's version");
        self.free(at)?;
        found
    }

    /// Kind and size of what lies at addresses.
    pub(super) fn describe(&self, addresses: &[u64]) -> Result<Vec<Described>> {
        let unknown = vec![Described { info: 0, size: 0 }; addresses.len()];
        if addresses.is_empty() || self.c.dladdr1 == 0 {
            return Ok(unknown);
        }
        let doing = "asking what symbols are";
        let arguments = [&[self.c.dladdr1, self.c.malloc], addresses].concat();
        let answer = self.raw(self.entry("describe")?, &arguments, doing)?;
        if answer.len() != 16 * (addresses.len() + 1) {
            return Ok(unknown);
        }
        let word = |bytes: &[u8]| bytes.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte));
        let pairs = answer.chunks_exact(16).take(addresses.len());
        Ok(pairs.map(|pair| Described { info: word(&pair[..8]), size: word(&pair[8..]) }).collect())
    }

    /// Memory, readable and writable and zero.
    pub(super) fn reserve(&self, size: u64) -> Result<u64> {
        let doing = "reserving memory";
        let reserved: std::result::Result<u64, String> =
            self.ask(self.services.reserve, &(self.services.memory, size), doing)?;
        reserved.map_err(|reason| Self::refused(doing, &format!("{size:#x} bytes: {reason}")))
    }

    /// Writes and protects segments of one reservation, then registers a table of call frames (address, size); when the memory goes, the
    /// table is taken back first.
    pub(super) fn finalize(&self, segments: Vec<Segment<'_>>, frames: Option<(u64, u64)>) -> Result<()> {
        let doing = "writing linked code";
        let action = |function, range: &(u64, u64)| Action { function, arguments: to_bytes(range) };
        let pair = |(address, size): (u64, u64)| {
            let range = (address, address + size);
            (action(self.services.register_frames, &range), action(self.services.deregister_frames, &range))
        };
        let request =
            Finalize { memory: self.services.memory, segments, actions: frames.map(pair).into_iter().collect() };
        let Status(done) = self.ask(self.services.finalize, &request, doing)?;
        done.map_err(|reason| Self::refused(doing, &reason))
    }

    /// Registers a table of call frames in memory that is not of [`reserve`](Self::reserve), or takes it back.
    pub(super) fn frames(&self, (address, size): (u64, u64), register: bool) -> Result<()> {
        let doing = "registering call frames";
        let service = if register { self.services.register_frames } else { self.services.deregister_frames };
        let Status(done) = self.ask(service, &(address, address + size), doing)?;
        done.map_err(|reason| Self::refused(doing, &reason))
    }

    /// Gives a reservation back.
    pub(super) fn deallocate(&self, base: u64) -> Result<()> {
        let doing = "giving memory back";
        let Status(done) = self.ask(self.services.deallocate, &(self.services.memory, vec![base]), doing)?;
        done.map_err(|reason| Self::refused(doing, &reason))
    }

    /// Writes words (address, value) to writable memory.
    pub(super) fn write_words(&self, words: &[(u64, u64)]) -> Result<()> {
        if words.is_empty() { Ok(()) } else { self.ask(self.services.write_words, &words, "writing to memory") }
    }

    /// Writes bytes to writable memory.
    pub(super) fn write(&self, pieces: &[(u64, &[u8])]) -> Result<()> {
        if pieces.is_empty() { Ok(()) } else { self.ask(self.services.write_buffers, &pieces, "writing to memory") }
    }

    /// Memory of malloc(3) with these bytes in it.
    pub(super) fn place(&self, bytes: &[u8]) -> Result<u64> {
        let size = bytes.len() as u64;
        let address = self.call(self.c.malloc, &[size.max(1)], "allocating memory")?;
        if address == 0 {
            return Err(Self::refused("allocating memory", &format!("{size} bytes are not to be had")));
        }
        self.write(&[(address, bytes)])?;
        Ok(address)
    }

    pub(super) fn free(&self, address: u64) -> Result<()> {
        self.call(self.c.free, &[address], "freeing memory").map(drop)
    }

    /// Calls a C function with up to six arguments.
    pub(super) fn call(&self, function: u64, arguments: &[u64], doing: &str) -> Result<u64> {
        let mut data = [0; 7];
        data[0] = function;
        data[1..=arguments.len()].copy_from_slice(arguments);
        self.word(self.entry("call")?, &data, doing)
    }

    /// Calls every function of `arrays` in order with two arguments and, third, what lies at `third` then (0: nothing does). Answers
    /// what the last one returned.
    pub(super) fn run(&self, arrays: &[Array], arguments: (u64, u64), third: u64, doing: &str) -> Result<u64> {
        let mut data = vec![arguments.0, arguments.1, third];
        data.extend(arrays.iter().flat_map(|array| [array.address, array.count, array.step as u64]));
        self.word(self.entry("run")?, &data, doing)
    }

    /// A call to our code that answers one word.
    fn word(&self, entry: u64, data: &[u64], doing: &str) -> Result<u64> {
        let answer = self.raw(entry, data, doing)?;
        let bytes = answer.try_into().map_err(|_| Self::refused(doing, "its answer is not one word"))?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn raw(&self, entry: u64, data: &[u64], doing: &str) -> Result<Vec<u8>> {
        let data: Vec<u8> = data.iter().flat_map(|word| word.to_le_bytes()).collect();
        let reply = self.peer.call(Tag(entry), &data).map_err(|error| self.failed(&error, doing))?;
        reply.into_bytes().map_err(|reason| Self::refused(doing, &reason))
    }
}
