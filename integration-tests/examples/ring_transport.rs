//! A transport over something unlike a socket: two rings of bytes in a file that both sides have mapped.
//!
//! `cargo run -p integration-tests --example ring_transport` asks the conformance suite about it. Both sides must be of one mind, for
//! each can write everything that the other reads. `unsafe` because it reads and writes memory that another process may have, too.
#![allow(clippy::print_stdout, reason = "an example tells what it found")]

use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

use dispatch::frame::{Frame, HEADER_SIZE, Header, Limits};
use dispatch::transport::{Closer, RecvFrame, SendFrame, Transport, TransportError};
use memmap2::MmapRaw;
use rustix::thread::futex;

/// Bytes in a ring; a power of two, so that positions may wrap.
const CAPACITY: u32 = 1 << 16;
/// Its words come first, in a cache line of their own.
const WORDS: usize = 64;
const RING: usize = WORDS + CAPACITY as usize;

/// One direction: how much was written and read so far, whether it has ended, and a bell that rings at every change.
#[derive(Clone)]
struct Ring(Arc<MmapRaw>, usize);

impl Ring {
    /// Word 0: written, 1: read, 2: ended, 3: the bell.
    fn word(&self, index: usize) -> &AtomicU32 {
        assert!(index < 4 && self.1 + RING <= self.0.len());
        // SAFETY: by the assertion it lies in the mapping, which lives as long as `self` and begins with a page, so that the word is
        // aligned; all access to words is atomic.
        unsafe { AtomicU32::from_ptr(self.0.as_mut_ptr().add(self.1 + 4 * index).cast()) }
    }

    /// Sets a word, rings the bell, and wakes whoever waits for it, if anybody does.
    fn set(&self, index: usize, value: u32) {
        self.word(index).store(value, SeqCst);
        self.word(3).fetch_add(1, SeqCst);
        let _ = futex::wake(self.word(3), futex::Flags::empty(), 2);
    }

    fn end(&self) {
        self.set(2, 1);
    }

    /// Calls `act` with the address of the next byte and how many there are, until it has dealt with `wanted` bytes or the ring ends.
    fn each_run(&self, own: usize, mut wanted: usize, mut act: impl FnMut(*mut u8, usize)) -> io::Result<()> {
        while wanted > 0 {
            let (bell, ended) = (self.word(3).load(SeqCst), self.word(2).load(SeqCst) != 0);
            let [written, read] = [0, 1].map(|index| self.word(index).load(SeqCst));
            // The other side may write nonsense: then there is no room.
            let free = CAPACITY.checked_sub(written.wrapping_sub(read)).ok_or(ErrorKind::InvalidData)?;
            let (position, ready) = if own == 0 { (written, free) } else { (read, CAPACITY - free) };
            if ended && (own == 0 || ready == 0) {
                break;
            } else if ready == 0 {
                // Not slept through: the bell has another value if anything has changed since it was read. Waking early is no harm.
                let _ = futex::wait(self.word(3), futex::Flags::empty(), bell, None);
                continue;
            }
            let start = position % CAPACITY;
            let run = ready.min(CAPACITY - start).min(wanted.try_into().unwrap_or(u32::MAX));
            // SAFETY: `start` is below the capacity, and `word` has asserted that the whole ring lies in the mapping.
            act(unsafe { self.0.as_mut_ptr().add(self.1 + WORDS + start as usize) }, run as usize);
            self.set(own, position.wrapping_add(run));
            wanted -= run as usize;
        }
        Ok(())
    }

    fn write(&self, mut bytes: &[u8]) -> Result<(), TransportError> {
        self.each_run(0, bytes.len(), |to, count| {
            let (run, rest) = bytes.split_at(count);
            // SAFETY: `count` bytes of the ring lie at `to`, free, and the other side does not read them before they are counted.
            unsafe { to.copy_from_nonoverlapping(run.as_ptr(), count) };
            bytes = rest;
        })?;
        if bytes.is_empty() { Ok(()) } else { Err(TransportError::Closed) }
    }

    /// Up to `size` bytes: less if the ring ends.
    fn read(&self, size: usize) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.each_run(1, size, |from, count| {
            // SAFETY: `count` bytes of the ring lie at `from`, written, and the other side leaves them alone until they are counted.
            bytes.extend_from_slice(unsafe { std::slice::from_raw_parts(from, count) });
        })?;
        Ok(bytes)
    }
}

/// One end: a ring to write to, one to read from.
pub(crate) struct Rings(Ring, Ring);

/// One of its halves; dropping it ends its ring.
pub(crate) struct Half(Ring, Limits);

impl Transport for Rings {
    type Sender = Half;
    type Receiver = Half;
    fn split(self, limits: &Limits) -> io::Result<(Half, Half)> {
        Ok((Half(self.0, *limits), Half(self.1, *limits)))
    }
    fn closer(&self) -> Option<Closer> {
        let rings = [self.0.clone(), self.1.clone()];
        Some(Closer::new(move || rings.iter().for_each(Ring::end)))
    }
}

impl SendFrame for Half {
    fn send(&mut self, frame: Frame<'_>) -> Result<(), TransportError> {
        self.0.write(&frame.header().encode())?;
        self.0.write(&frame.payload)
    }
}

impl RecvFrame for Half {
    fn recv(&mut self) -> Result<Option<Frame<'static>>, TransportError> {
        let bytes = self.0.read(HEADER_SIZE)?;
        let Some(header) = bytes.first_chunk() else {
            return if bytes.is_empty() { Ok(None) } else { Err(TransportError::Closed) };
        };
        let header = Header::decode(header, &self.1)?;
        let payload = self.0.read(header.payload_size())?;
        let whole = payload.len() == header.payload_size();
        if whole { Ok(Some(header.with_payload(payload))) } else { Err(TransportError::Closed) }
    }
}

impl Drop for Half {
    fn drop(&mut self) {
        self.0.end();
    }
}

pub(crate) fn pair() -> io::Result<(Rings, Rings)> {
    let file = tempfile::tempfile()?;
    file.set_len(2 * RING as u64)?;
    let [here, there] = [Arc::new(MmapRaw::map_raw(&file)?), Arc::new(MmapRaw::map_raw(&file)?)];
    Ok((Rings(Ring(Arc::clone(&here), 0), Ring(here, RING)), Rings(Ring(Arc::clone(&there), RING), Ring(there, 0))))
}

pub(crate) fn main() {
    dispatch::conformance::check(pair).expect("two rings in a file are a transport");
    println!("two rings in a file are a transport");
}
