//! A supervisor between its worker and a controller that is elsewhere: frames both ways, and the program's standard streams beside them.
//!
//! The worker speaks over a socket pair, whatever the controller's connection is made of, so its end can be told apart from that of the
//! connection: how it ended is the last thing that the controller hears. What the program writes and reads goes through pipes and travels as
//! notices, with [`Credit`] in both directions.

use super::Credit;
use super::ending::leave_now;
use super::signals;
use super::supervisor::{self, Child};
use crate::service::down::{CONTROLLER_LOST, Ended, OUTPUT_ROOM, notice};
use crate::sync::{Arc, Mutex};
use dispatch::Tag;
use dispatch::frame::{Frame, Limits, Opcode, Seq};
use dispatch::packed::{from_bytes, to_bytes};
use dispatch::transport::unix::{Descriptors, Unix};
use dispatch::transport::{RecvFrame, SendFrame, Transport};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::convert::Infallible;
use std::fs::File;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// Input that may be on its way to the program.
const INPUT_ROOM: u64 = 256 << 10;
/// What one notice carries at most.
const PIECE: usize = 64 << 10;
/// How often a reader of output looks whether the program has ended.
const LOOK: Timespec = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };
/// How long a worker may take to end after the controller has said goodbye or is lost.
const PATIENCE: Duration = Duration::from_millis(3000);

/// Our ends of the program's standard streams; those that it shares with this process are absent.
#[derive(Debug, Default)]
pub(super) struct Streams {
    pub(super) input: Option<File>,
    pub(super) output: Option<File>,
    pub(super) errors: Option<File>,
}

type Outgoing = Arc<Mutex<Box<dyn SendFrame>>>;

/// What the threads of a relay share.
#[derive(Clone)]
struct Relay {
    controller: Outgoing,
    worker: Outgoing,
    output_room: Arc<Credit>,
    /// What the controller may still send for the program to read.
    input_room: Arc<Credit>,
    /// The worker has ended: what is in the pipes is all.
    ended: Arc<AtomicBool>,
    /// The controller is lost: everything is being ended.
    lost: Arc<AtomicBool>,
    /// Notices may be sent: the worker has said who it is.
    introduced: Arc<Credit>,
}

/// Relays until the worker has ended and the controller has heard of it; or ends the worker when the controller is lost.
///
/// A session of a listener ends with it.
///
/// # Errors
/// A transport that cannot be split, or no thread.
pub(super) fn run(
    controller: impl Transport,
    beside: Option<Descriptors>,
    socket: UnixStream,
    streams: Streams,
    child: Child,
    of_listener: bool,
) -> Result<Infallible, String> {
    let limits = Limits::default();
    let closer = controller.closer();
    let split = controller.split(&limits).map_err(supervisor::said("use the connection"))?;
    let (to_controller, from_controller) = split;
    let shut = socket.try_clone().map_err(supervisor::said("share the worker's socket"))?;
    let worker = Unix::new(socket);
    let passed = worker.descriptors();
    let (to_worker, from_worker) = worker.split(&limits).map_err(supervisor::said("use the worker's socket"))?;

    let boxed = |sender: Box<dyn SendFrame>| Arc::new(Mutex::new(sender));
    let relay = Relay {
        controller: boxed(Box::new(to_controller)),
        worker: boxed(Box::new(to_worker)),
        output_room: Arc::new(Credit::new(OUTPUT_ROOM)),
        input_room: Arc::new(Credit::new(INPUT_ROOM)),
        ended: Arc::default(),
        lost: Arc::default(),
        introduced: Arc::new(Credit::new(0)),
    };
    let child = Arc::new(child);
    let Streams { input, output, errors } = streams;
    let (typed, to_type) = channel();

    let down = {
        let (relay, child) = (relay.clone(), Arc::clone(&child));
        let pass = move |descriptors: &Descriptors| {
            descriptors.take_received().into_iter().for_each(|one| passed.send_with_next(one));
        };
        move || {
            let goodbye = relay.down(from_controller, &child, &typed, || beside.iter().for_each(&pass));
            drop(typed);
            relay.output_room.close();
            if !goodbye && !relay.ended.load(Ordering::SeqCst) {
                relay.lost.store(true, Ordering::SeqCst);
                child.end_with_all_descendants();
                leave_now(CONTROLLER_LOST);
            }
            // A worker that hears a goodbye ends by itself.
            std::thread::sleep(PATIENCE);
            child.end_with_all_descendants();
            leave_now(0);
        }
    };
    let up = relay.clone();
    let up = thread("from-worker", move || up.up(from_worker))?;
    thread("from-controller", down)?;
    if let Some(input) = input {
        let relay = relay.clone();
        thread("input", move || relay.input(input, &to_type))?;
    }
    let pipes = [(output, notice::OUTPUT), (errors, notice::ERRORS)];
    let pumps = pipes.into_iter().filter_map(|(pipe, subject)| Some((pipe?, subject)));
    let pumps = pumps.map(|(pipe, subject)| {
        let relay = relay.clone();
        thread("output", move || relay.output(pipe, subject))
    });
    let pumps = pumps.collect::<Result<Vec<_>, _>>()?;

    // A listener ends its sessions by this; everywhere else what is sent to the group is the worker's.
    let by: &[i32] = if of_listener { &[libc::SIGTERM] } else { &[] };
    let ended = child.wait_unless(signals::asked_to_end(by));
    if ended.is_none() {
        // The listener has ended, or somebody wants this session to.
        child.end_with_all_descendants();
        leave_now(CONTROLLER_LOST);
    }
    let ended = ended.unwrap_or_default();
    while relay.lost.load(Ordering::SeqCst) {
        // Whoever saw it ends this process when all descendants are gone.
        std::thread::sleep(PATIENCE);
    }
    relay.ended.store(true, Ordering::SeqCst);
    // Frames that the worker has sent are read to the end; what it has forked may hold its socket open.
    let _ = shut.shutdown(Shutdown::Read);
    // Threads that panicked have nothing more to send.
    let _ = up.join();
    // A worker that has not said who it is will not any more.
    relay.introduced.close();
    for pump in pumps {
        let _ = pump.join();
    }
    relay.tell(&ended);
    if let Some(closer) = closer {
        closer.close();
    }
    // For whoever carries the frames and did not get as far as hearing that.
    supervisor::end_alike(&ended)
}

fn thread(name: &str, run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, String> {
    let started = std::thread::Builder::new().name(name.to_owned()).spawn(run);
    started.map_err(supervisor::said("start a thread"))
}

impl Relay {
    /// Frames from the controller; says whether it has said goodbye.
    fn down(
        &self,
        mut from: impl RecvFrame,
        child: &Child,
        typed: &Sender<Vec<u8>>,
        pass_descriptors: impl Fn(),
    ) -> bool {
        let mut goodbye = false;
        while let Ok(Some(frame)) = from.recv() {
            goodbye |= frame.opcode == Opcode::Hangup;
            match (frame.opcode, frame.tag) {
                (Opcode::Notice, notice::SIGNAL) => {
                    if let Ok(number) = from_bytes::<i32>(&frame.payload) {
                        supervisor::raise(child.pid, number);
                    }
                }
                (Opcode::Notice, notice::INPUT) => {
                    if !self.input_room.try_take(frame.payload.len() as u64) {
                        // More than was agreed on would be kept here.
                        break;
                    }
                    // Without a reader the program has closed its input, or has one of its own.
                    let _ = typed.send(frame.payload.into_owned());
                }
                (Opcode::Notice, notice::OUTPUT_ROOM) => {
                    self.output_room.give(from_bytes::<u64>(&frame.payload).unwrap_or(0));
                }
                _ => {
                    pass_descriptors();
                    // A worker that is gone is noticed by who waits for it.
                    let _ = self.worker.lock().send(frame);
                }
            }
        }
        goodbye
    }

    /// Frames from the worker.
    fn up(&self, mut from: impl RecvFrame) {
        while let Ok(Some(frame)) = from.recv() {
            let first = frame.opcode == Opcode::Setup;
            if self.controller.lock().send(frame).is_err() {
                return;
            }
            if first {
                self.introduced.give(u64::MAX);
                self.notify(notice::INPUT_ROOM, &to_bytes(&INPUT_ROOM));
            }
        }
    }

    fn notify(&self, subject: Tag, bytes: &[u8]) -> bool {
        let frame = Frame::new(Opcode::Notice, Seq::NONE, subject, bytes);
        self.controller.lock().send(frame).is_ok()
    }

    /// What the controller sends for the program to read.
    fn input(&self, mut pipe: File, typed: &Receiver<Vec<u8>>) {
        while let Ok(bytes) = typed.recv() {
            if bytes.is_empty() || pipe.write_all(&bytes).is_err() {
                return;
            }
            let room = bytes.len() as u64;
            // First, so that whoever hears of it may use it.
            self.input_room.give(room);
            self.notify(notice::INPUT_ROOM, &to_bytes(&room));
        }
    }

    /// What the program writes.
    fn output(&self, mut pipe: File, subject: Tag) {
        let mut bytes = vec![0; PIECE];
        if self.introduced.take(1).is_none() {
            return;
        }
        loop {
            let Some(room) = self.output_room.take(PIECE as u64) else { return };
            loop {
                // Looked at before the pipe: what is in it when the program has ended is the last.
                let ended = self.ended.load(Ordering::SeqCst);
                match poll(&mut [PollFd::new(&pipe, PollFlags::IN)], Some(&LOOK)) {
                    Ok(0) if ended => return,
                    Ok(0) | Err(rustix::io::Errno::INTR) => {}
                    _ => break,
                }
            }
            match pipe.read(&mut bytes[..room as usize]) {
                Ok(0) => return,
                Ok(count) => {
                    self.output_room.give(room - count as u64);
                    if !self.notify(subject, &bytes[..count]) {
                        return;
                    }
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => self.output_room.give(room),
                Err(_) => return,
            }
        }
    }

    /// The last word.
    fn tell(&self, ended: &Ended) {
        if self.introduced.take(1).is_some() {
            self.notify(notice::ENDED, &to_bytes(ended));
        }
    }
}
