//! What a signal says, where other threads and processes can read it: numbers of fixed size, each of which is written in one piece.
//!
//! A handler [fills](Note::fill) it and [adds](Note::push) frames; whoever waits for that reads a [`Fault`], also while frames are still added.
//!
//! `unsafe` because the kernel describes a signal by pointers.
#![allow(unsafe_code)]

use super::Fault;
use crate::machine::signal as interrupted;
use std::ffi::{c_int, c_void};
use std::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, Ordering};

/// Return addresses that are kept.
const FRAMES: usize = 64;

/// A fault, as it is noted. All zero is one of which nothing is known.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct Note {
    signal: AtomicI32,
    code: AtomicI32,
    address: AtomicU64,
    instruction: AtomicU64,
    stack: AtomicU64,
    access: AtomicU32,
    thread: [AtomicU64; 2],
    count: AtomicU32,
    frames: [AtomicU64; FRAMES],
}

impl Note {
    pub(super) const fn new() -> Self {
        Self {
            signal: AtomicI32::new(0),
            code: AtomicI32::new(0),
            address: AtomicU64::new(0),
            instruction: AtomicU64::new(0),
            stack: AtomicU64::new(0),
            access: AtomicU32::new(0),
            thread: [const { AtomicU64::new(0) }; 2],
            count: AtomicU32::new(0),
            frames: [const { AtomicU64::new(0) }; FRAMES],
        }
    }

    /// Notes all but the frames. Does only what POSIX allows in a handler.
    ///
    /// # Safety
    /// The arguments are those that the kernel passes to a handler with `SA_SIGINFO`.
    pub(crate) unsafe fn fill(&self, signal: c_int, info: *const libc::siginfo_t, context: *const c_void) {
        self.count.store(0, Ordering::Release);
        // SAFETY: the caller's promise, for all three.
        let (code, address, (instruction, stack), access) = unsafe {
            let registers = interrupted::registers(context);
            ((*info).si_code, (*info).si_addr() as u64, registers, interrupted::access(signal, context))
        };
        self.signal.store(signal, Ordering::Relaxed);
        self.code.store(code, Ordering::Relaxed);
        self.address.store(address, Ordering::Relaxed);
        self.instruction.store(instruction, Ordering::Relaxed);
        self.stack.store(stack, Ordering::Relaxed);
        self.access.store(access, Ordering::Relaxed);
        let mut name = [0_u8; 16];
        // SAFETY: both only ask; the system writes at most 16 bytes.
        unsafe {
            if libc::gettid() != libc::getpid() {
                libc::prctl(libc::PR_GET_NAME, name.as_mut_ptr());
            }
        }
        for (part, bytes) in self.thread.iter().zip(name.chunks_exact(8)) {
            part.store(bytes.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte)), Ordering::Relaxed);
        }
    }

    /// One more frame; says whether there is room for another.
    pub(super) fn push(&self, frame: u64) -> bool {
        let count = self.count.load(Ordering::Relaxed) as usize;
        let Some(place) = self.frames.get(count) else { return false };
        place.store(frame, Ordering::Relaxed);
        self.count.store(count as u32 + 1, Ordering::Release);
        count + 1 < FRAMES
    }

    /// The frames so far, the innermost first.
    pub(super) fn frames(&self) -> impl Iterator<Item = u64> + '_ {
        let count = (self.count.load(Ordering::Acquire) as usize).min(FRAMES);
        self.frames[..count].iter().map(|frame| frame.load(Ordering::Relaxed))
    }

    /// Signal, code, address and instruction.
    pub(super) fn facts(&self) -> (i32, i32, u64, u64) {
        let [address, instruction] = [&self.address, &self.instruction].map(|word| word.load(Ordering::Relaxed));
        (self.signal.load(Ordering::Relaxed), self.code.load(Ordering::Relaxed), address, instruction)
    }

    /// What was noted.
    pub(crate) fn fault(&self) -> Fault {
        let name: Vec<u8> = self.thread.iter().flat_map(|part| part.load(Ordering::Relaxed).to_ne_bytes()).collect();
        let name = name.split(|&byte| byte == 0).next().unwrap_or_default();
        let (signal, code, address, instruction) = self.facts();
        Fault {
            signal,
            code,
            address,
            instruction,
            stack: self.stack.load(Ordering::Relaxed),
            access: self.access.load(Ordering::Relaxed) as u8,
            thread: String::from_utf8_lossy(name).into_owned(),
            frames: self.frames().collect(),
        }
    }
}
