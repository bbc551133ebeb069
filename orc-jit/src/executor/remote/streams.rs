//! The program's standard streams, where they travel beside the calls.
//!
//! Output is written by a thread of its own, so that a terminal that stands still holds up no call; the executor is told what has been
//! written, and never has more than an agreed amount on its way. The same thread tells of waits that last in the executor. Input is read only as the executor has room for it; what has been read
//! and the program does not take is lost, as with `ssh`.

use dispatch::packed::{from_bytes, to_bytes};
use dispatch::{Tag, WeakPeer};
use orc_rt::WaitReport;
use orc_rt::serve::Credit;
use orc_rt::service::down::{OUTPUT_ROOM, notice};
use orc_rt::waits::WaitHook;
use std::fmt;
use std::io::{self, Read as _, Write as _};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

/// What one notice carries at most.
const PIECE: u64 = 64 << 10;
/// How long the last output may take to be written.
const PATIENCE: Duration = Duration::from_secs(600);

/// The ends of the streams on this side.
#[derive(Debug)]
pub(super) struct Streams {
    to_write: Mutex<Sender<Piece>>,
    /// What the executor may still send.
    output_room: Credit,
    input_room: Credit,
    peer: OnceLock<WeakPeer>,
    waits: Arc<Waits>,
}

#[derive(Debug)]
enum Piece {
    Output(Vec<u8>),
    Errors(Vec<u8>),
    /// A packed [`WaitReport`].
    Wait(Vec<u8>),
    /// Everything before it has been written.
    Flush(Sender<()>),
}

/// Who is told of waits that last in the executor.
#[derive(Default)]
pub(super) struct Waits {
    hook: Mutex<Option<WaitHook>>,
    /// Reports that have not been passed on.
    pending: AtomicUsize,
}

/// An executor that tells of more waits at once is not heard.
const MOST_WAITS: usize = 256;

impl Waits {
    pub(super) fn set(&self, hook: WaitHook) {
        *self.hook.lock().unwrap_or_else(PoisonError::into_inner) = Some(hook);
    }

    fn tell(&self, bytes: &[u8]) {
        self.pending.fetch_sub(1, Ordering::Relaxed);
        let hook = self.hook.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let (Some(hook), Ok(report)) = (hook, from_bytes::<WaitReport>(bytes)) {
            hook(&report);
        }
    }
}

impl fmt::Debug for Waits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waits").field("pending", &self.pending).finish_non_exhaustive()
    }
}

impl Streams {
    /// Begins to write what arrives, and to tell of `waits`.
    ///
    /// # Errors
    /// No thread.
    pub(super) fn new(waits: Arc<Waits>) -> io::Result<Arc<Self>> {
        let (to_write, pieces) = channel();
        let streams = Arc::new(Self {
            to_write: Mutex::new(to_write),
            output_room: Credit::new(OUTPUT_ROOM),
            input_room: Credit::new(0),
            peer: OnceLock::new(),
            waits: waits.clone(),
        });
        let weak = Arc::downgrade(&streams);
        let write = move || {
            write_all(&pieces, &waits, |bytes| {
                if let Some(streams) = weak.upgrade() {
                    streams.output_room.give(bytes);
                    streams.notify(notice::OUTPUT_ROOM, &to_bytes(&bytes));
                }
            });
        };
        std::thread::Builder::new().name("executor-output".to_owned()).spawn(write)?;
        Ok(streams)
    }

    /// Who is told of what was written and read.
    pub(super) fn connect(&self, peer: WeakPeer) {
        // There is one connection for one pair of streams.
        let _ = self.peer.set(peer);
    }

    /// Passes standard input on, as there is room for it.
    ///
    /// # Errors
    /// No thread.
    pub(super) fn pass_input_on(self: &Arc<Self>) -> io::Result<()> {
        let streams = Arc::downgrade(self);
        let read = move || {
            let mut bytes = vec![0; PIECE as usize];
            loop {
                let Some(streams) = streams.upgrade() else { return };
                let Some(room) = streams.input_room.take(PIECE) else { return };
                let count = loop {
                    match io::stdin().lock().read(&mut bytes[..room as usize]) {
                        Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                        // What cannot be read is at its end.
                        other => break other.unwrap_or(0),
                    }
                };
                streams.input_room.give(room - count as u64);
                if !streams.notify(notice::INPUT, &bytes[..count]) || count == 0 {
                    return;
                }
            }
        };
        std::thread::Builder::new().name("executor-input".to_owned()).spawn(read)?;
        Ok(())
    }

    /// Tells the program that there is no input.
    pub(super) fn end_input(&self) {
        self.notify(notice::INPUT, &[]);
    }

    fn notify(&self, subject: Tag, bytes: &[u8]) -> bool {
        self.peer.get().and_then(WeakPeer::upgrade).is_some_and(|peer| peer.notify(subject, bytes).is_ok())
    }

    /// Takes what arrived.
    pub(super) fn take(&self, subject: Tag, bytes: &[u8]) {
        if subject == notice::WAIT {
            if self.waits.pending.fetch_add(1, Ordering::Relaxed) < MOST_WAITS {
                self.send(Piece::Wait(bytes.to_owned()));
            } else {
                self.waits.pending.fetch_sub(1, Ordering::Relaxed);
            }
            return;
        }
        // What nobody agreed to keep is not kept.
        if subject != notice::INPUT_ROOM && !self.output_room.try_take(bytes.len() as u64) {
            return;
        }
        let piece = match subject {
            notice::INPUT_ROOM => {
                self.input_room.give(from_bytes(bytes).unwrap_or(0));
                return;
            }
            notice::OUTPUT => Piece::Output(bytes.to_owned()),
            notice::ERRORS => Piece::Errors(bytes.to_owned()),
            _ => return,
        };
        self.send(piece);
    }

    fn send(&self, piece: Piece) {
        // The writing thread ends with the last sender, which is this.
        let _ = self.to_write.lock().unwrap_or_else(PoisonError::into_inner).send(piece);
    }

    /// Waits until everything that has arrived is written.
    pub(super) fn flush(&self) {
        let (done, written) = channel();
        self.send(Piece::Flush(done));
        let _ = written.recv_timeout(PATIENCE);
    }
}

fn write_all(pieces: &Receiver<Piece>, waits: &Waits, written: impl Fn(u64)) {
    for piece in pieces {
        // Output that nobody takes is lost, as that of a process whose terminal is gone.
        let count = match piece {
            Piece::Output(bytes) => {
                let mut output = io::stdout().lock();
                let _ = output.write_all(&bytes).and_then(|()| output.flush());
                bytes.len()
            }
            Piece::Errors(bytes) => {
                let _ = io::stderr().lock().write_all(&bytes);
                bytes.len()
            }
            Piece::Wait(bytes) => {
                waits.tell(&bytes);
                continue;
            }
            Piece::Flush(done) => {
                // Whoever waited may have given up.
                let _ = done.send(());
                continue;
            }
        };
        written(count as u64);
    }
}
