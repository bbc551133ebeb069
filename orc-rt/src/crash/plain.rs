//! A report without names, for when whoever could look them up does not answer: what a [`Note`] has, and what can be seen without waiting for a lock.
//!
//! Takes no lock that it would have to wait for, allocates nothing, and writes to standard error as it goes.

use super::Note;
use crate::image;
use crate::unwind;
use std::fmt::{self, Write as _};

/// A buffer that goes to standard error when it is full.
struct Out {
    bytes: [u8; 512],
    used: usize,
}

impl Out {
    fn flush(&mut self) {
        super::reporter::write_all(&self.bytes[..self.used]);
        self.used = 0;
    }
}

impl fmt::Write for Out {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            if self.used == self.bytes.len() {
                self.flush();
            }
            self.bytes[self.used] = byte;
            self.used += 1;
        }
        Ok(())
    }
}

/// Writes what is known. `why` is the reason why it is not more, as a sentence.
pub(super) fn write(note: &Note, why: &str) {
    let mut out = Out { bytes: [0; 512], used: 0 };
    let (signal, code, address, instruction) = note.facts();
    // Writing to the buffer does not fail.
    let _ = write!(out, "error: the program was ended by signal {signal}, ");
    let _ = match code {
        libc::SI_USER | libc::SI_QUEUE | libc::SI_TKILL => writeln!(out, "which was sent to it"),
        _ => writeln!(out, "about address {address:#x}"),
    };
    let mut how = "at";
    for frame in std::iter::once(instruction).chain(note.frames().skip(1)) {
        let _ = write!(out, "    {how} {frame:#x}");
        if let Some(function) = unwind::function_at(frame) {
            let _ = write!(out, ", in the function at {function:#x}");
        }
        image::at_once(frame, |image| {
            let _ = write!(out, " (dylib {})", Text(image.name.to_bytes()));
        });
        let _ = writeln!(out);
        how = "called from";
    }
    let _ = writeln!(out, "  note: {why}");
    out.flush();
}

/// Bytes that may be text.
struct Text<'a>(&'a [u8]);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.utf8_chunks().try_for_each(|chunk| {
            // A name cannot command the terminal.
            chunk.valid().chars().try_for_each(|one| f.write_char(if one.is_control() { '?' } else { one }))
        })
    }
}
