//! Do the fuzz targets hold for a second each? The fuzzer itself is in `fuzz/`; this runs the same bodies, from a fixed seed, wherever
//! the tests run.

mod bodies;

use std::time::{Duration, Instant};

use dispatch::frame::{Frame, Opcode, Seq};
use dispatch::packed::{Status, to_bytes};
use dispatch::{Setup, Tag};

/// How long each body is run, and how often at least.
const TIME: Duration = Duration::from_millis(700);
const LEAST: usize = 2000;

/// SplitMix64.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.roll() % end.max(1) as u64) as usize
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.roll() as u8).collect()
    }

    /// One of the seeds, changed a little, or bytes of no origin.
    fn input(&mut self, seeds: &[Vec<u8>]) -> Vec<u8> {
        if self.below(4) == 0 {
            let size = self.below(300);
            return self.bytes(size);
        }
        let mut bytes = seeds[self.below(seeds.len())].clone();
        for _ in 0..self.below(5) {
            let at = self.below(bytes.len() + 1);
            match self.below(4) {
                0 if at < bytes.len() => bytes[at] ^= 1 << self.below(8),
                1 if at < bytes.len() => bytes[at] = self.roll() as u8,
                2 => bytes.truncate(at),
                _ => {
                    let count = self.below(20);
                    bytes.splice(at..at, self.bytes(count));
                }
            }
        }
        if self.below(3) == 0 {
            bytes.extend_from_slice(&seeds[self.below(seeds.len())]);
        }
        bytes
    }
}

fn run(body: fn(&[u8]), seeds: &[Vec<u8>]) {
    let mut dice = Dice(0x5eed);
    let start = Instant::now();
    let mut count = 0;
    while count < LEAST || start.elapsed() < TIME {
        let input = dice.input(seeds);
        if let Err(panic) = std::panic::catch_unwind(|| body(&input)) {
            panic!("input {count}, {input:?}: {:?}", panic.downcast_ref::<String>());
        }
        count += 1;
    }
    assert!(count >= LEAST);
}

fn frames() -> Vec<Vec<u8>> {
    let opcodes = [Opcode::Setup, Opcode::Hangup, Opcode::Result, Opcode::Call, Opcode::Notice];
    opcodes
        .into_iter()
        .enumerate()
        .map(|(index, opcode)| Frame::new(opcode, Seq(index as u64), Tag(1), vec![index as u8; index * 20]).to_bytes())
        .collect()
}

#[test]
fn frames_hold() {
    run(bodies::frame, &frames());
}

#[test]
fn packed_values_hold() {
    let setup = Setup {
        triple: "x86_64-unknown-linux-gnu".to_owned(),
        page_size: 4096,
        map: vec![("orc-dispatch.features".to_owned(), vec![31, 0, 0, 0, 0, 0, 0, 0])],
        symbols: vec![("dispatch".to_owned(), 0x1000), ("memory".to_owned(), 0x2000)],
    };
    let journal: Vec<(bool, Vec<u8>)> = frames().into_iter().map(|frame| (true, frame)).collect();
    let seeds = [
        to_bytes(&setup),
        to_bytes(&Status(Err("enough".to_owned()))),
        to_bytes(&vec!["one".to_owned(), "two".to_owned()]),
        to_bytes(&Some(vec![(1u32, true)])),
        to_bytes(&Ok::<_, String>(vec![1u64, 2])),
        to_bytes(&journal),
        vec![0; 8],
    ];
    run(bodies::packed, &seeds);
}

#[test]
fn endpoints_hold() {
    // Both have introduced themselves; calls, a call back, an answer, a cancellation.
    let arrive =
        |opcode: u8, seq: u8, tag: u8, payload: &[u8]| [&[7, opcode, seq, tag, payload.len() as u8], payload].concat();
    let calls: Vec<u8> = [vec![31, 2], arrive(0, 0, 0, b""), vec![0, 0, 4, 1, 0, 0, 9, 1]].concat();
    let served = [calls.clone(), arrive(3, 0x15, 1, b"abc"), arrive(2, 1, 0, b"fine"), vec![1, 0, 7]].concat();
    let cancelled =
        [calls.clone(), arrive(3, 5, 1, b"abc"), vec![0, 5, 1, 1], arrive(4, 0, 3, &[5, 0, 0, 0, 0, 0, 0, 0])];
    let noticed = [calls.clone(), arrive(4, 0, 6, b"news"), arrive(4, 0, 1, b""), arrive(1, 0, 0, &[0])].concat();
    run(bodies::endpoint, &[calls, served, cancelled.concat(), noticed, vec![31, 0], vec![0, 1]]);
}
