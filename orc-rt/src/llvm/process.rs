//! Symbols that LLVM's controller finds in its executor before those of the process.
//!
//! LLVM's runtime tells the unwinder of tables itself, through `__register_frame`. What it says goes through [`Tables`](super::frames::Tables), which mend what LLVM
//! leaves broken; tables elsewhere are the unwinder's own business.
//!
//! `unsafe` because these are C functions, and because C++ is told to begin.
#![allow(unsafe_code)]

use super::names;
use crate::native::system_symbol;
use crate::session::Session;
use std::ffi::{CStr, c_void};

/// The address of a symbol that this executor has for the controller.
pub(super) fn own_symbol(name: &str) -> Option<u64> {
    match name {
        "__register_frame" => Some(register_frame as *const () as u64),
        "__deregister_frame" => Some(deregister_frame as *const () as u64),
        _ => names::looked_up(name),
    }
}

/// `void __register_frame(const void *)`, as libgcc has it.
unsafe extern "C" fn register_frame(table: *const c_void) {
    let start = table as u64;
    match names::the_one_that_is_meant() {
        Some(services) if services.memory.holds(start) => {
            if let Err(error) = services.tables.register_early(&services.memory, start) {
                // The function has no result: exceptions will not pass there.
                tracing::warn!(target: "orc_rt::llvm", error, "refused");
            }
        }
        // SAFETY: the caller's promise, whatever it is.
        _ => unsafe { tell(c"__register_frame", table) },
    }
}

/// `void __deregister_frame(const void *)`, as libgcc has it.
unsafe extern "C" fn deregister_frame(table: *const c_void) {
    let start = table as u64;
    match names::the_one_that_is_meant() {
        Some(services) if services.memory.holds(start) => {
            if let Err(error) = services.tables.deregister(start) {
                tracing::warn!(target: "orc_rt::llvm", error, "refused");
            }
        }
        // SAFETY: the caller's promise, whatever it is.
        _ => unsafe { tell(c"__deregister_frame", table) },
    }
}

/// # Safety
/// As the unwinder's function demands.
unsafe fn tell(name: &CStr, table: *const c_void) {
    let Some(function) = system_symbol(name) else { return };
    // SAFETY: both unwinders document these names as `void (const void *)`.
    let function = unsafe { std::mem::transmute::<usize, unsafe extern "C" fn(*const c_void)>(function as usize) };
    // SAFETY: the caller's promise.
    unsafe { function(table) }
}

/// What LLVM's own executor is linked with, beyond what this process has.
const COMPANIONS: [&str; 2] = ["libstdc++.so.6", "libm.so.6"];

/// Loads the libraries of a C++ program and makes its streams ready, as such a program does when it starts; whether there were any.
///
/// Objects that are linked without LLVM's runtime have no initializers, and yet their `std::cout` has to work: LLVM's own executor is a C++ program.
pub(super) fn become_a_cpp_program(session: &Session) -> bool {
    // One that is not installed is one that nothing can need.
    let found = COMPANIONS.map(|name| session.native().open(name).is_ok()).contains(&true);
    type Method = unsafe extern "C" fn(*mut c_void);
    // `std::ios_base::Init` is an empty class, which counts its objects. This one is never destroyed: the streams are for all threads until the end.
    static INIT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    if let Some(constructor) = system_symbol(c"_ZNSt8ios_base4InitC1Ev") {
        // SAFETY: the name is that of the constructor of `std::ios_base::Init` (Itanium C++ ABI, mangling), a method without arguments.
        let constructor = unsafe { std::mem::transmute::<usize, Method>(constructor as usize) };
        // SAFETY: memory that is large enough for an object without members, and stays.
        unsafe { constructor(INIT.as_ptr().cast()) };
    }
    found
}
