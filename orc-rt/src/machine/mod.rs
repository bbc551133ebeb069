//! What this process's processor is asked for: everything in this crate that is not the same on every machine.
//!
//! A machine is a folder with the same file names, chosen here and nowhere else:
//!
//! - `mod.rs`: numbers and names: the triple, ELF's machine and dynamic relocations, where addresses end, how resolvers are called, whether instruction fetch
//!   follows stores.
//! - `calls.rs`: entry points that learn who has called them, the frame through which nothing unwinds, the function that debuggers stop at, and what valgrind is asked by.
//! - `tls.rs`: the thread pointer, and what code asks for its variables.
//! - `lazy.rs`: where the stub of a function leads that is not linked yet.
//! - `signal.rs`: the registers of what a signal has interrupted, and a call that can be given up from a handler.
//! - `system.rs`: system calls that other machines do not have (feature `executor`).
//!
//! Deliberately absent: anything that is asked of the operating system, which is `sys`'s; the linker's tables, which are data and know every machine.
//!
//! `unsafe` because this is assembly, and because registers are read and written where the kernel has left them.
#![allow(unsafe_code)]

#[cfg(target_arch = "aarch64")]
#[path = "aarch64/mod.rs"]
mod imp;
#[cfg(target_arch = "riscv64")]
#[path = "riscv64/mod.rs"]
mod imp;
#[cfg(target_arch = "x86_64")]
#[path = "x86_64/mod.rs"]
mod imp;
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "riscv64")))]
compile_error!("this machine needs a folder beside machine/x86_64");

pub(crate) use imp::*;
