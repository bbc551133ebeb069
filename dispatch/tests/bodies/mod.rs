//! What the fuzz targets in `fuzz/` do with their bytes, shared with the smoke test: any bytes at all must give values, events or
//! errors, and never break what the crate promises.

use std::io;

use dispatch::frame::{Frame, HEADER_SIZE, Opcode, Seq};
use dispatch::layer::record::Journal;
use dispatch::packed::{Pack, Status, Unpack, from_bytes, to_bytes};
use dispatch::transport::stream::Stream;
use dispatch::transport::{RecvFrame, Transport};
use dispatch::{Endpoint, Event, Features, Limits, ProtocolError, Reply, Role, Setup, Tag};

/// Small, so that short inputs reach them.
const LIMITS: Limits =
    Limits { max_frame: 512, max_pending: 6, max_depth: 10, max_held: 200, max_setup: 200, max_notice: 100 };

/// Bytes as one frame, and as a stream of frames.
pub(crate) fn frame(data: &[u8]) {
    if let Ok(frame) = Frame::from_bytes(data, &LIMITS) {
        assert!(frame.size() <= LIMITS.largest(frame.opcode));
        assert_eq!(frame.to_bytes(), data, "a frame is the bytes that it came from");
    }
    let stream = Stream::new(io::Cursor::new(data.to_vec()), io::sink());
    let (_sender, mut receiver) = stream.split(&LIMITS).expect("a cursor needs no system");
    let mut whole = 0;
    loop {
        match receiver.recv() {
            Ok(Some(frame)) => {
                let bytes = frame.to_bytes();
                assert_eq!(bytes, data[whole..whole + bytes.len()]);
                whole += bytes.len();
            }
            Ok(None) => {
                assert_eq!(whole, data.len(), "the end comes behind the last byte");
                break;
            }
            Err(error) => {
                assert!(!error.to_string().is_empty());
                assert!(matches!(receiver.recv(), Ok(None)), "behind an error there is no frame");
                break;
            }
        }
    }
    assert!(whole <= data.len());
}

/// Bytes as packed values of many types. The encoding has one form for each value, so what unpacks packs to the same bytes.
pub(crate) fn packed(data: &[u8]) {
    fn check<'a, T: Pack + Unpack<'a>>(data: &'a [u8]) {
        match from_bytes::<T>(data) {
            Ok(value) => assert_eq!(to_bytes(&value), data),
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
    check::<u64>(data);
    check::<(bool, i16, u8)>(data);
    check::<&str>(data);
    check::<Vec<u8>>(data);
    check::<Vec<String>>(data);
    check::<Option<Vec<(u32, bool)>>>(data);
    check::<Result<Vec<u64>, String>>(data);
    check::<Vec<Vec<Vec<Option<&[u8]>>>>>(data);
    check::<Status>(data);
    check::<Setup>(data);
    if let Ok(setup) = Setup::from_bytes(data) {
        assert!(Features::all().contains(setup.features()));
    }
    if let Ok(journal) = Journal::from_bytes(data) {
        assert_eq!(journal.to_bytes(), data);
    }
}

/// Bytes as a script for an endpoint of either role: frames that arrive, whatever they are, between calls, answers and abandonments of
/// its own.
pub(crate) fn endpoint(data: &[u8]) {
    for role in [Role::Controller, Role::Executor] {
        Play::new(role, data).run();
    }
}

/// Takes the script apart; at its end there are zeros.
struct Script<'a>(&'a [u8]);

impl<'a> Script<'a> {
    fn byte(&mut self) -> u8 {
        let Some((&first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        first
    }

    fn bytes(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// Small numbers, so that they meet each other.
    fn seq(&mut self) -> Seq {
        let byte = self.byte();
        Seq::new(u32::from(byte & 15), u32::from(byte >> 4))
    }

    fn tag(&mut self) -> Tag {
        let tags = [0, 1, 2, 3, 4, 0xff, 0x100, u64::MAX];
        Tag(tags[usize::from(self.byte()) % tags.len()])
    }
}

struct Play<'a> {
    script: Script<'a>,
    endpoint: Endpoint<usize>,
    /// Each waiter, and whether it has come back.
    waiters: Vec<bool>,
    numbers: Vec<Seq>,
    serving: Vec<(Seq, usize)>,
}

impl<'a> Play<'a> {
    fn new(role: Role, data: &'a [u8]) -> Self {
        let (waiters, numbers, serving) = Default::default();
        Play { script: Script(data), endpoint: Endpoint::new(role, LIMITS), waiters, numbers, serving }
    }

    fn run(mut self) {
        self.endpoint.agree(Features::from_bits_truncate(u64::from(self.script.byte())));
        match self.script.byte() % 4 {
            0 => self.endpoint.expect_setup(),
            1 => {}
            _ => drop(self.endpoint.setup(b"I am")),
        }
        while !self.script.0.is_empty() {
            if !self.step() {
                break;
            }
            let (pending, serving) = self.endpoint.in_flight();
            assert!(pending <= LIMITS.max_pending && serving <= LIMITS.max_pending);
            assert_eq!(serving, self.serving.len());
            assert!(self.serving.iter().map(|(_, size)| *size as u64).sum::<u64>() <= LIMITS.max_held);
        }
        for waiter in self.endpoint.close() {
            self.back(waiter);
        }
        assert!(self.waiters.iter().all(|back| *back), "every waiter comes back");
        assert_eq!(self.endpoint.in_flight(), (0, 0));
        let late = self.endpoint.receive(Frame::new(Opcode::Call, Seq(1), Tag(1), b"".as_slice()));
        assert_eq!(late.unwrap_err(), ProtocolError::Closed);
    }

    fn back(&mut self, waiter: usize) {
        assert!(!std::mem::replace(&mut self.waiters[waiter], true), "waiter {waiter} comes back twice");
    }

    /// What is sent is within the limits of the one who sends it.
    fn sent(frame: &Frame<'_>) {
        assert!(frame.size() <= LIMITS.largest(frame.opcode), "{frame:?}");
        assert!(frame.to_bytes().len() >= HEADER_SIZE);
    }

    /// Whether the connection goes on.
    fn step(&mut self) -> bool {
        match self.script.byte() % 8 {
            0 => {
                let parent = Some(self.script.seq()).filter(|seq| seq.number() != 0);
                let size = usize::from(self.script.byte()) * 3;
                let waiter = self.waiters.len();
                let args = vec![7; size];
                if let Ok(frame) = self.endpoint.call(self.script.tag(), &args, parent, waiter) {
                    Self::sent(&frame);
                    self.numbers.push(frame.seq);
                    self.waiters.push(false);
                }
            }
            1 if !self.serving.is_empty() => {
                let which = usize::from(self.script.byte()) % self.serving.len();
                let (seq, _) = self.serving.swap_remove(which);
                let size = usize::from(self.script.byte()) * 3;
                let reply = if size % 2 == 0 { Reply::from(vec![1; size]) } else { Reply::error("e".repeat(size)) };
                if let Some(frame) = self.endpoint.answer(seq, &reply) {
                    Self::sent(&frame);
                }
                assert!(self.endpoint.answer(seq, &reply).is_none());
            }
            2 if !self.numbers.is_empty() => {
                let seq = self.numbers[usize::from(self.script.byte()) % self.numbers.len()];
                if let Some(waiter) = self.endpoint.abandon(seq.number()) {
                    self.back(waiter);
                }
                if let Some(frame) = self.endpoint.cancel(seq) {
                    Self::sent(&frame);
                }
            }
            3 => {
                let subject = self.script.tag();
                let count = usize::from(self.script.byte());
                if let Ok(frame) = self.endpoint.notice(subject, self.script.bytes(count)) {
                    Self::sent(&frame);
                }
                [self.endpoint.ping(), self.endpoint.pong()].iter().flatten().for_each(Self::sent);
            }
            4 if self.script.byte() == 0 => {
                if let Some(frame) = self.endpoint.hang_up(Err("r".repeat(usize::from(self.script.byte())))) {
                    Self::sent(&frame);
                }
                return false;
            }
            _ => return self.arrive(),
        }
        true
    }

    /// Some frame arrives.
    fn arrive(&mut self) -> bool {
        let opcode = Opcode::from_wire(u64::from(self.script.byte() % 5)).expect("there are five");
        let (seq, tag, size) = (self.script.seq(), self.script.tag(), usize::from(self.script.byte()));
        let frame = Frame::new(opcode, seq, tag, self.script.bytes(size));
        match self.endpoint.receive(frame) {
            Ok(Event::Call { seq, args, parent, .. }) => {
                assert!(parent.is_none_or(|number| self.endpoint.waiter(number).is_some()));
                self.serving.push((seq, args.len()));
            }
            Ok(Event::Answer(waiter, _)) => self.back(waiter),
            Ok(Event::Cancel(seq)) => {
                assert!(self.serving.iter().any(|(serving, _)| *serving == seq));
                for nested in self.endpoint.nested_in(seq) {
                    let waiter = self.endpoint.abandon(nested.number()).expect("it waits");
                    self.back(waiter);
                }
                assert!(self.endpoint.nested_in(seq).is_empty());
            }
            Ok(Event::Hangup(_)) => return false,
            Ok(_) => {}
            Err(error) => {
                assert!(!error.to_string().is_empty());
                return false;
            }
        }
        true
    }
}
