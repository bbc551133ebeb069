//! Does reordering reorder, and only what may be reordered?

mod common;

use std::collections::HashSet;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use common::{Other, Pair, connect_over};
use dispatch::frame::{Frame, Opcode, Seq};
use dispatch::layer::fault::Fault;
use dispatch::layer::reorder::{Reorder, may_pass};
use dispatch::layer::trace::{Trace, Traced};
use dispatch::transport::{RecvFrame, SendFrame, Transport, channel};
use dispatch::{CallError, CancelToken, Features, Limits, Registry, Tag, call_typed};
use proptest::collection::vec;
use proptest::prelude::*;

fn frame(opcode: Opcode, number: u32, parent: u32) -> Frame<'static> {
    Frame::new(opcode, Seq::new(number, parent), Tag(u64::from(number)), vec![number as u8])
}

/// What arrives of `frames` behind a reordering sender.
fn through(frames: &[Frame<'static>], seed: u64, window: usize) -> Vec<Frame<'static>> {
    let (a, b) = channel::pair();
    let (mut sender, _receiver) = Reorder::new(a, seed).window(window).split(&Limits::default()).unwrap();
    let (_sender, mut receiver) = b.split(&Limits::default()).unwrap();
    for frame in frames {
        sender.send(frame.clone()).unwrap();
    }
    drop(sender);
    std::iter::from_fn(|| receiver.recv().unwrap()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn everything_arrives_once_and_nothing_passes_what_it_must_not(
        parts in vec((2..5u64, 0..4u32), 0..40),
        seed in any::<u64>(),
        window in 0..10usize,
    ) {
        let frames: Vec<_> = parts
            .iter()
            .enumerate()
            .map(|(index, &(opcode, parent))| frame(Opcode::from_wire(opcode).unwrap(), index as u32 + 1, parent))
            .collect();
        let arrived = through(&frames, seed, window);
        let place = |frame: &Frame<'_>| arrived.iter().position(|other| other == frame);
        prop_assert_eq!(arrived.len(), frames.len());
        for (index, earlier) in frames.iter().enumerate() {
            prop_assert!(place(earlier).is_some(), "{earlier:?} is lost");
            for later in &frames[index + 1..] {
                prop_assert!(may_pass(earlier, later) || place(earlier) < place(later), "{later:?} passed {earlier:?}");
            }
        }
        if window == 0 {
            prop_assert_eq!(arrived, frames);
        }
    }
}

#[test]
fn what_may_pass_is_what_the_documentation_says() {
    let (call, answer) = (|n, p| frame(Opcode::Call, n, p), |n| frame(Opcode::Result, n, 0));
    assert!(may_pass(&answer(1), &answer(2)));
    assert!(may_pass(&call(1, 0), &call(2, 7)));
    assert!(may_pass(&call(1, 7), &answer(8)) && may_pass(&answer(8), &call(1, 7)));
    assert!(!may_pass(&call(1, 7), &answer(7)) && !may_pass(&answer(7), &call(1, 7)));
    for opcode in [Opcode::Setup, Opcode::Hangup, Opcode::Notice] {
        for other in [call(1, 0), answer(2), frame(opcode, 0, 0)] {
            assert!(!may_pass(&frame(opcode, 0, 0), &other) && !may_pass(&other, &frame(opcode, 0, 0)));
        }
    }
}

#[test]
fn answers_and_calls_do_change_places() {
    let calls: Vec<_> = (1..=50).map(|n| frame(Opcode::Call, n, 0)).collect();
    let orders: HashSet<Vec<u32>> =
        (0..10).map(|seed| through(&calls, seed, 8).iter().map(|frame| frame.seq.number()).collect()).collect();
    assert!(orders.len() > 5, "ten seeds make {} orders", orders.len());
    assert!(!orders.contains(&(1..=50).collect::<Vec<_>>()));
}

const NEST: Tag = Tag(1);

fn serve(registry: &Registry, other: Other) {
    registry
        .serve(NEST, move |depth: u32| -> Result<u32, String> {
            let Some(deeper) = depth.checked_sub(1) else { return Ok(0) };
            let answer = call_typed::<u32, Result<u32, String>>(other.wait(), NEST, &deeper);
            answer.map_err(|error| error.to_string())?.map(|depth| depth + 1)
        })
        .unwrap();
}

#[test]
fn sessions_are_none_the_worse_for_it() {
    for seed in 0..6u64 {
        let (here, there) = channel::pair();
        let here = Reorder::new(here, seed).hold(Duration::from_micros(200));
        let there = Reorder::new(Fault::new(there).jitter(Duration::from_micros(100), seed), !seed);
        let Pair { controller, executor } = connect_over(here, there, |c| c, |c| c, serve);
        let callers: Vec<_> = (0..6u32)
            .map(|thread| {
                let peer = if thread % 2 == 0 { controller.clone() } else { executor.clone() };
                thread::spawn(move || {
                    for round in 0..10 {
                        let depth = (thread + round) % 6;
                        let limit = Duration::from_secs(20);
                        let reply = peer.call_within(limit, NEST, &depth.to_le_bytes()).unwrap();
                        let answer: Result<u32, String> = dispatch::packed::from_bytes(reply.bytes().unwrap()).unwrap();
                        assert_eq!(answer, Ok(depth));
                        // Now and then one is given up, whose leavings travel between the others.
                        let token = CancelToken::new();
                        let button = token.clone();
                        let presser = thread::spawn(move || button.cancel());
                        match peer.call_cancellable(&token, NEST, &depth.to_le_bytes()) {
                            Ok(_) | Err(CallError::Cancelled(NEST)) => {}
                            other => panic!("{other:?}"),
                        }
                        presser.join().unwrap();
                    }
                })
            })
            .collect();
        callers.into_iter().for_each(|caller| caller.join().unwrap());
        common::eventually("all is settled", || controller.in_flight() == (0, 0) && executor.in_flight() == (0, 0));
        assert!(controller.closed().is_none(), "{:?}", controller.closed());
    }
}

#[test]
fn a_goodbye_arrives_behind_what_was_held() {
    let (here, there) = channel::pair();
    let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
    let note = Arc::clone(&seen);
    let traced = Trace::new(there, move |event| {
        if let Traced::Frame(_, frame) = event {
            note.lock().unwrap().push(frame.opcode);
        }
    });
    let here = Reorder::new(here, 3).hold(Duration::from_secs(5));
    let Pair { controller, executor } = connect_over(here, traced, |c| c, |c| c, serve);
    controller.notify(Tag(0x100), b"").unwrap();
    controller.hang_up(Err("done".into()));
    assert_eq!(executor.wait_closed().reason, "it hung up: done");
    assert_eq!(*seen.lock().unwrap(), [Opcode::Setup, Opcode::Setup, Opcode::Notice, Opcode::Hangup]);
    assert_eq!(executor.features(), Features::all());
}
