//! Thread-local storage of this process: where a variable of a library is, and room for the variables of executed code.
//!
//! You ask for room with a size and an alignment and get a [`ThreadLocal`] that holds in every thread; once its first content is
//! final, it is given to the threads that exist and to those to come. There are two kinds. *Static* room is part of this module's own
//! thread-local storage (`pool.rs`), at one distance from the thread pointer in all threads: code needs one instruction. When that is full,
//! room is *dynamic* (`dynamic.rs`): every thread allocates its block when it first asks. Code that cannot ask, and this module where it was itself
//! loaded late, get static room out of the dynamic loader's reserve (`reserve.rs`) while there is some.
//!
//! Terms and rules: *ELF Handling For Thread-Local Storage* (Drepper); what differs between machines is in `machine/*/tls.rs`. Deliberately absent: how code is to be
//! changed; the linker does that.
//!
//! `unsafe` because places of variables are numbers whose truth the caller answers for.
#![allow(unsafe_code)]

mod dynamic;
mod exit;
mod modules;
mod pool;
mod reserve;
mod seen;
mod threads;

pub(crate) use exit::{register_destructor, register_with_the_system, run_destructors};
pub(crate) use modules::{__tls_get_addr, locate};
pub use pool::POOL_SIZE;
pub(crate) use pool::SLOT;
pub(crate) use reserve::ask;
pub(crate) use seen::{begin as note_threads, library_loaded};
pub(crate) use threads::creation;
#[cfg(feature = "executor")]
pub(crate) use threads::is_alone;

use crate::machine::tls as machine;
use std::fmt;

dispatch::packed_struct! {
    /// Where a thread-local variable is, in words that hold for every thread.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
    pub struct ThreadLocal {
        /// The number of its module, as `__tls_get_addr` takes it.
        pub module: u64,
        /// Its offset in the module's block.
        pub offset: u64,
        /// What is added to the thread pointer, where that is the same in all threads.
        pub distance: Option<i64>,
    }

    /// What room there is to be in every thread.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct Wanted {
        /// Its size in bytes.
        pub size: u64,
        /// Alignment of its address in every thread in bytes, a power of two.
        pub align: u64,
        /// Code cannot be served unless its distance from the thread pointer is the same in all threads.
        pub constant: bool,
    }

    /// What every thread's room begins with.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct FirstContent {
        /// Where the room is.
        pub place: ThreadLocal,
        /// Address of the content. It stays as long as the room.
        pub address: u64,
        /// Bytes of content.
        pub content_size: u64,
        /// Bytes in all; the rest is zero.
        pub size: u64,
    }
}

/// Room for thread-local variables in every thread. Dropping it gives it back; its owner makes sure that no code uses it any more.
#[derive(Debug)]
#[must_use = "dropping the storage gives it back"]
pub struct Storage {
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Pool(pool::Range),
    Dynamic(dynamic::Module),
}

/// Thread-local storage cannot be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TlsError {
    /// An alignment that is no power of two, or too large.
    #[error("thread-local storage asks for alignment {align:#x}; it must be a power of two, at most 1 GiB")]
    BadAlignment {
        /// What was asked for.
        align: u64,
    },
    /// More than an address space has.
    #[error("{size:#x} bytes of thread-local storage are more than a thread can have")]
    TooLarge {
        /// What was asked for.
        size: u64,
    },
    /// Its content cannot be put into the threads.
    #[error("thread-local storage cannot be initialized: {reason}")]
    Threads {
        /// Why.
        reason: String,
    },
}

impl Storage {
    /// Room as wanted, static if there is any. Where it must be and cannot, it is dynamic all the same: the linker says then which code
    /// has the trouble.
    ///
    /// # Errors
    /// The alignment is none, or there is no memory.
    pub fn reserve(wanted: Wanted) -> Result<Self, TlsError> {
        let Wanted { size, align, constant: _ } = wanted;
        if !align.is_power_of_two() || align > crate::memory::MAX_ALIGN {
            return Err(TlsError::BadAlignment { align });
        }
        if let Some(range) = pool::take(wanted) {
            return Ok(Self { kind: Kind::Pool(range) });
        }
        let module = dynamic::Module::new(size, align).ok_or(TlsError::TooLarge { size })?;
        Ok(Self { kind: Kind::Dynamic(module) })
    }

    /// Where it begins.
    pub fn place(&self) -> ThreadLocal {
        match &self.kind {
            Kind::Pool(range) => range.place(),
            Kind::Dynamic(module) => module.place(),
        }
    }
}

/// The address of a function that answers TLS descriptors for variables of any module: it preserves all registers but the one that
/// gets the variable's distance from this thread's thread pointer.
pub fn descriptor_function() -> u64 {
    machine::descriptor_address()
}

/// The distance from the thread pointer of the storage of the program's first module. gdb takes the storage of code without a module for that one, so
/// that debug information of linked code counts from here.
pub fn first_module() -> i64 {
    modules::first_block()
}

/// Gives rooms their first content, in the threads that exist and in those to come. Nobody can see the variables before.
///
/// # Errors
/// The system does not let us write to other threads' storage.
///
/// # Safety
/// The rooms are reserved, not in use by any code, and at least as large as said; the contents are readable and, for dynamic room, stay as long as
/// the room does.
pub(crate) unsafe fn initialize(contents: &[&FirstContent]) -> Result<(), TlsError> {
    let (ours, of_pool): (Vec<_>, Vec<_>) =
        contents.iter().copied().partition(|content| dynamic::is_ours(content.place.module));
    ours.into_iter().for_each(dynamic::set_content);
    if of_pool.is_empty() {
        return Ok(());
    }
    // SAFETY: the caller's promise.
    unsafe { pool::initialize(&of_pool) }
}

/// The address of a variable in the calling thread.
///
/// # Safety
/// There is such a variable.
pub unsafe fn address_here(variable: ThreadLocal) -> u64 {
    match variable.distance {
        Some(distance) => machine::thread_pointer().wrapping_add_signed(distance),
        None => {
            let pair = variable.pair();
            // SAFETY: the caller's promise.
            unsafe { get_address(pair.as_ptr()) }
        }
    }
}

/// What `__tls_get_addr` does, for modules of the system and ours.
///
/// # Safety
/// `pair` points to a module and an offset in it.
pub(crate) unsafe extern "C" fn get_address(pair: *const u64) -> u64 {
    // SAFETY: the caller's promise.
    let [module, offset] = unsafe { *pair.cast::<[u64; 2]>() };
    if dynamic::is_ours(module) {
        return dynamic::address(module, offset.wrapping_add(machine::OFFSET_BIAS));
    }
    // SAFETY: a module of the system.
    unsafe { modules::get_address(pair) }
}

impl ThreadLocal {
    /// What `__tls_get_addr` is given.
    fn pair(self) -> [u64; 2] {
        [self.module, self.offset.wrapping_sub(machine::OFFSET_BIAS)]
    }
}

impl fmt::Display for ThreadLocal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.distance {
            Some(distance) => write!(f, "thread pointer{distance:+#x}"),
            None => write!(f, "module {:#x}+{:#x}", self.module, self.offset),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Storage, ThreadLocal, Wanted, address_here, descriptor_function, locate, machine};

    /// The address that a descriptor of `variable` gives.
    fn through_descriptor(variable: ThreadLocal) -> u64 {
        let pair = variable.pair();
        let descriptor = [descriptor_function(), pair.as_ptr() as u64];
        // SAFETY: the variable is there, and so are descriptor and pair.
        let distance = unsafe { machine::through_descriptor(&raw const descriptor) };
        machine::thread_pointer().wrapping_add(distance)
    }

    #[test]
    fn a_descriptor_gives_the_distance_and_preserves_what_it_must() {
        thread_local! { static VARIABLE: std::cell::Cell<u64> = const { std::cell::Cell::new(0x1234) } }
        let address = VARIABLE.with(|variable| std::ptr::from_ref(variable) as u64);
        assert_eq!(through_descriptor(locate(address).expect("a variable of this program")), address);
        // Dynamic: a first access, and one that finds the block, in each thread; a second module makes the table longer.
        let dynamic = || Storage::reserve(Wanted { size: 1 << 20, align: 8, constant: false }).expect("memory");
        let all: Vec<_> = (0..9).map(|_| dynamic()).collect();
        let look = || {
            for storage in &all {
                let variable = ThreadLocal { offset: 24, ..storage.place() };
                let first = through_descriptor(variable);
                assert_eq!(through_descriptor(variable), first);
                // SAFETY: the storage is there.
                assert_eq!(unsafe { address_here(variable) }, first);
                let pair = variable.pair();
                // SAFETY: the entry point takes the address of a pair and gives an address.
                let entry: extern "C" fn(*const u64) -> u64 =
                    unsafe { std::mem::transmute(machine::entry_get_address as *const ()) };
                assert_eq!(entry(pair.as_ptr()), first);
            }
        };
        look();
        std::thread::scope(|scope| scope.spawn(look).join()).expect("no panic");
    }
}
