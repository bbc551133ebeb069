//! What executor and controller say to each other: tags and messages.
//!
//! Here is what the executor asks; what a controller in another process asks is in [`down`].
//! The executor calls up by tag, through `__orc_rt_jit_dispatch` and nothing else. The controller serves four tags: [`tag::OPEN`], [`tag::UPDATE`],
//! [`tag::CLOSED`] and [`tag::LOOKUP`], and may serve [`tag::DESCRIBE`] and [`tag::IMAGES`], [`tag::REMOVED`] if it removes images, and [`tag::LAZY`] if it links functions when they are called. All messages are in the packed encoding of [`dispatch::packed`];
//! results are `Result<_, String>` whose text is for the one who opened, closed or looked up.
//!
//! ```
//! use dispatch::Registry;
//! use orc_rt::service::{Lookup, Open, Plan, tag};
//!
//! let controller = Registry::new();
//! controller.add(tag::OPEN, |args: &[u8]| {
//!     let answer: Result<Option<Plan>, String> = match dispatch::packed::from_bytes::<Open<'_>>(args) {
//!         Ok(_open) => Ok(None), // there is no JITDylib of that name
//!         Err(error) => Err(error.to_string()),
//!     };
//!     dispatch::Reply::packed(&answer)
//! })?;
//! # Ok::<(), dispatch::TagInUse>(())
//! ```

pub mod down;

use crate::tls::ThreadLocal;
use dispatch::packed_struct;

/// The tags that the controller serves.
pub mod tag {
    use dispatch::Tag;

    /// [`Open`](super::Open) to `Result<Option<Plan>, String>`: links what the dylib and everything it reaches still need, and says what there is
    /// to initialize. `None`: no JITDylib has this name, so the system may be asked.
    pub const OPEN: Tag = Tag(0x6f72_6300_0000_0001);
    /// `u32` (the dylib) to `Result<Plan, String>`: as `OPEN`, for code added to a dylib that is open.
    pub const UPDATE: Tag = Tag(0x6f72_6300_0000_0002);
    /// `Vec<u32>` (dylibs that are unloaded, every finalizer done) to `()`: their memory goes back, their inputs stay for the next open.
    pub const CLOSED: Tag = Tag(0x6f72_6300_0000_0003);
    /// [`Lookup`](super::Lookup) to `Result<Option<Found>, String>`: where a symbol is, address zero for a weak one that nobody defines; `None`: not
    /// found.
    pub const LOOKUP: Tag = Tag(0x6f72_6300_0000_0004);
    /// `u64` (an address in a registered image) to `Option<(String, u64)>`: the symbol that covers it and that symbol's address. Only asked when
    /// somebody asks, for images registered without a symbol table.
    pub const DESCRIBE: Tag = Tag(0x6f72_6300_0000_0005);
    /// `Vec<u64>` (images that [`Session::remove_images`](crate::Session::remove_images) took out, every finalizer done) to `()`: their memory goes
    /// back.
    pub const REMOVED: Tag = Tag(0x6f72_6300_0000_0006);
    /// [`Images`](super::Images) to `Vec<`[`Description`](crate::debug::Description)`>`: what can be told of the images that are registered. As
    /// much as the controller has kept: symbols at least.
    pub const IMAGES: Tag = Tag(0x6f72_6300_0000_0007);
    /// `u64` (the address of a stub's slot) to `Result<Vec<(u64, u64)>, String>`: the stub was called, and its function is not linked. The answer is
    /// that slot and those of functions that were linked with it, each with what it is to hold. Served by controllers that link lazily.
    pub const LAZY: Tag = Tag(0x6f72_6300_0000_0008);
}

/// Modes of `dlopen`, with the values of the system's `dlfcn.h`.
pub mod mode {
    /// Link when a function is first called.
    pub const LAZY: u32 = libc::RTLD_LAZY as u32;
    /// Link everything before the first initializer runs. What `jit_dlopen` does without a mode.
    pub const NOW: u32 = libc::RTLD_NOW as u32;
    /// A handle only if the dylib is open already.
    pub const NOLOAD: u32 = libc::RTLD_NOLOAD as u32;
    /// Its symbols serve later lookups through `RTLD_DEFAULT`.
    pub const GLOBAL: u32 = libc::RTLD_GLOBAL as u32;
    /// Never unloaded, however often it is closed.
    pub const NODELETE: u32 = libc::RTLD_NODELETE as u32;
}

packed_struct! {
    /// The argument of [`tag::OPEN`].
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct Open<'a> {
        /// Name of the JITDylib; empty for the program itself, as in `dlopen(NULL)` and `dlopen("")`.
        pub name: &'a str,
        /// Flags of [`mode`]. With `NOLOAD` the controller links nothing that is not linked.
        pub mode: u32,
    }

    /// The argument of [`tag::LOOKUP`].
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct Lookup<'a> {
        /// One of [`scope`].
        pub scope: u8,
        /// The dylib to start from: that of the handle, or of the code that asks; 0 when that is not known.
        pub dylib: u32,
        /// The symbol, as it is in the object file.
        pub name: &'a str,
    }

    /// The argument of [`tag::IMAGES`].
    #[derive(Debug, Clone, PartialEq, Eq, Default)]
    pub struct Images {
        /// Those whose images are meant; none: all.
        pub dylibs: Vec<u32>,
        /// Addresses in the files are to be relative to [`file_base`](crate::debug::file_base), as in a shared library.
        pub relative: bool,
    }

    /// The answer to [`tag::LOOKUP`].
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
    pub struct Found {
        /// Its address, unless it is thread-local.
        pub address: u64,
        /// Where a thread-local variable is: its address is the business of the thread that asks.
        pub thread_local: Option<ThreadLocal>,
    }

    /// What an open or update has to initialize: every dylib that is reachable from `root`.
    #[derive(Debug, Clone, PartialEq, Eq, Default)]
    pub struct Plan {
        /// The dylib that was named.
        pub root: u32,
        /// Counts the controller's changes to dylibs and link orders; two plans with the same epoch describe the same state.
        pub epoch: u64,
        /// Every reachable dylib, in no particular order.
        pub dylibs: Vec<PlanDylib>,
    }

    /// One dylib of a [`Plan`].
    #[derive(Debug, Clone, PartialEq, Eq, Default)]
    pub struct PlanDylib {
        /// Its number; the same in every plan of this session.
        pub id: u32,
        /// Its name, for messages and `dladdr`.
        pub name: String,
        /// Its link order, without itself.
        pub links: Vec<u32>,
        /// Address of its `__dso_handle`, 0 without one.
        pub dso_handle: u64,
        /// Initializer arrays that no plan has named before, in the order to run.
        pub new_initializers: Vec<InitArray>,
        /// Finalizer arrays that no plan has named before, in the order to run them.
        pub new_finalizers: Vec<InitArray>,
        /// `.preinit_array`s that no plan has named before. They run first of all, for the program only.
        pub new_preinit: Vec<InitArray>,
        /// Whether this is the program: what `dlopen(NULL)` means.
        pub is_program: bool,
    }

    /// An array of function addresses in the executor's memory. It is read when it is run, so relocations and code that ran before count.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
    pub struct InitArray {
        /// Address of the first entry.
        pub address: u64,
        /// Number of entries, each as large as an address.
        pub count: u64,
        /// Effective priority, for messages only: the order is that of the list.
        pub priority: u32,
        /// Run from the last entry to the first (`.ctors`, `.fini_array`).
        pub reverse: bool,
    }
}

/// Where a [`Lookup`] starts.
pub mod scope {
    /// The dylib, then what it links against, breadth first.
    pub const HANDLE: u8 = 0;
    /// `RTLD_DEFAULT`: the program and what it links against, then what was opened with `GLOBAL`, then the search order of the dylib that asks.
    pub const DEFAULT: u8 = 1;
    /// `RTLD_NEXT`: what follows the dylib that asks in the default order.
    pub const NEXT: u8 = 2;
}

#[cfg(test)]
mod tests {
    use super::*;
    use dispatch::packed::{from_bytes, to_bytes};

    #[test]
    fn a_plan_survives_the_wire() {
        let plan = Plan {
            root: 3,
            epoch: 7,
            dylibs: vec![PlanDylib {
                id: 3,
                name: "main".into(),
                links: vec![1, 2],
                dso_handle: 0x1000,
                new_initializers: vec![InitArray { address: 0x2000, count: 2, priority: 65535, reverse: true }],
                is_program: true,
                ..PlanDylib::default()
            }],
        };
        let answer: Result<Option<Plan>, String> = Ok(Some(plan));
        assert_eq!(from_bytes(&to_bytes(&answer)), Ok(answer));
    }

    #[test]
    fn a_damaged_plan_is_an_error() {
        let bytes = to_bytes(&Plan { root: 1, epoch: 1, dylibs: vec![PlanDylib::default()] });
        for length in 0..bytes.len() {
            assert!(from_bytes::<Plan>(&bytes[..length]).is_err(), "{length} bytes were taken for a plan");
        }
    }
}
