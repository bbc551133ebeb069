//! With threads, a clock and a line that reorders, delays and breaks: does every call return once, and do both sides agree on it?
//!
//! Random plans of calls, nested and at once, limited in time or called off, are carried out by two real peers. The simulation without
//! threads is in `simulated.rs`.

mod common;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use common::{Other, Pair, connect_over, eventually};
use dispatch::dispatcher::Inline;
use dispatch::layer::fault::Fault;
use dispatch::layer::reorder::Reorder;
use dispatch::packed::{from_bytes, to_bytes};
use dispatch::transport::channel;
use dispatch::{CallError, CallState, Caller, CancelToken, Connect, Peer, Registry, Reply, Tag, WeakPeer};
use proptest::collection::vec;
use proptest::prelude::*;

const WORK: Tag = Tag(1);

/// How a call is made.
#[derive(Debug, Clone, Copy)]
enum Way {
    Plain,
    /// With so many microseconds.
    Within(u16),
    /// Called off after so many microseconds.
    Cancelled(u16),
}

/// A call, and the calls that its handler makes in turn.
#[derive(Debug, Clone)]
struct Plan {
    way: Way,
    /// Microseconds of work before the nested calls.
    work: u16,
    nested: Vec<Plan>,
}

fn plan() -> impl Strategy<Value = Plan> {
    let way = prop_oneof![
        4 => Just(Way::Plain),
        2 => (0..3000u16).prop_map(Way::Within),
        2 => (0..3000u16).prop_map(Way::Cancelled),
    ];
    let leaf = (way.clone(), 0..500u16).prop_map(|(way, work)| Plan { way, work, nested: Vec::new() });
    leaf.prop_recursive(4, 10, 3, move |inner| {
        (way.clone(), 0..200u16, vec(inner, 0..3)).prop_map(|(way, work, nested)| Plan { way, work, nested })
    })
}

/// A plan as a list: depth, way, its time, work.
fn flatten(plan: &Plan, depth: u32, list: &mut Vec<(u32, u8, u16, u16)>) {
    let (way, time) = match plan.way {
        Way::Plain => (0, 0),
        Way::Within(time) => (1, time),
        Way::Cancelled(time) => (2, time),
    };
    list.push((depth, way, time, plan.work));
    plan.nested.iter().for_each(|nested| flatten(nested, depth + 1, list));
}

/// What happened, on both sides.
#[derive(Default)]
struct Story {
    last: AtomicU64,
    /// Handlers that run at this moment.
    running: AtomicU64,
    /// Handlers that ran, and whether they came to their end without being given up.
    ran: Mutex<HashMap<u64, bool>>,
    /// Calls that returned.
    returned: Mutex<HashMap<u64, Result<Reply, CallError>>>,
}

impl Story {
    /// Makes a call: the first of the list, with what is nested in it.
    fn call(&self, peer: &WeakPeer, list: &[(u32, u8, u16, u16)]) -> bool {
        let Some(peer) = peer.upgrade() else { return false };
        let id = self.last.fetch_add(1, Ordering::SeqCst);
        let (_, way, time, _) = list[0];
        let args = to_bytes(&(id, list.to_vec()));
        let time = Duration::from_micros(u64::from(time));
        let result = match way {
            0 => peer.call(WORK, &args),
            1 => peer.call_within(time, WORK, &args),
            _ => {
                let token = CancelToken::new();
                let button = token.clone();
                let presser = thread::spawn(move || {
                    thread::sleep(time);
                    button.cancel();
                });
                let result = peer.call_cancellable(&token, WORK, &args);
                presser.join().unwrap();
                result
            }
        };
        let fine = result.as_ref().is_ok_and(|reply| reply.as_error().is_none());
        assert!(self.returned.lock().unwrap().insert(id, result).is_none(), "a call returns once");
        fine
    }

    /// The handler on both sides.
    fn work(&self, peer: &WeakPeer, args: &[u8]) -> Reply {
        self.running.fetch_add(1, Ordering::SeqCst);
        let reply = self.work_counted(peer, args);
        self.running.fetch_sub(1, Ordering::SeqCst);
        reply
    }

    fn work_counted(&self, peer: &WeakPeer, args: &[u8]) -> Reply {
        let (id, list) = from_bytes::<(u64, Vec<(u32, u8, u16, u16)>)>(args).unwrap();
        let first = self.ran.lock().unwrap().insert(id, false).is_none();
        assert!(first, "a call runs once");
        thread::sleep(Duration::from_micros(u64::from(list[0].3)));
        let depth = list[0].0;
        let nested: Vec<usize> = (1..list.len()).filter(|&index| list[index].0 == depth + 1).collect();
        for (place, &begin) in nested.iter().enumerate() {
            let end = nested.get(place + 1).copied().unwrap_or(list.len());
            if !self.call(peer, &list[begin..end]) && dispatch::cancelled() {
                return Reply::error("it was given up");
            }
        }
        self.ran.lock().unwrap().insert(id, true);
        Reply::packed(&id)
    }

    /// Whether what the callers were told is what the handlers did.
    fn check(&self, was_cut: bool) {
        let ran = self.ran.lock().unwrap();
        let returned = self.returned.lock().unwrap();
        assert_eq!(returned.len() as u64, self.last.load(Ordering::SeqCst), "every call returns");
        assert!(ran.keys().all(|id| returned.contains_key(id)), "what nobody called does not run");
        for (id, result) in returned.iter() {
            match result {
                Ok(reply) => match reply.bytes() {
                    Ok(bytes) => {
                        assert_eq!(from_bytes::<u64>(bytes), Ok(*id), "its own answer");
                        assert_eq!(ran.get(id), Some(&true), "what was answered was done");
                    }
                    // Its caller's call was given up; or it was, and the answer was faster than the word of it.
                    Err(text) => assert!(["cancelled", "it was given up"].contains(&text), "{text}"),
                },
                Err(CallError::TimedOut(_) | CallError::Cancelled(_)) => {}
                Err(CallError::Disconnected(_)) => assert!(was_cut, "the line stands"),
                Err(other) => panic!("{other}"),
            }
        }
    }
}

/// Carries out one plan for each thread, from both sides; the line is cut at a message, if at all.
fn carry_out(plans: &[Plan], seed: u64, cut: Option<u64>, inline: bool) {
    let story = Arc::<Story>::default();
    let (here, there) = channel::pair();
    let mut fault = Fault::new(here).jitter(Duration::from_micros(30), seed);
    if let Some(cut) = cut {
        fault = fault.cut_at(cut);
    }
    let here = Reorder::new(fault, seed).hold(Duration::from_micros(100));
    let there = Reorder::new(there, !seed).hold(Duration::from_micros(100));
    let build = |connect: Connect| if inline { connect.dispatcher(Inline) } else { connect };
    let serve = |registry: &Registry, other: Other| {
        let story = Arc::clone(&story);
        registry.add(WORK, move |args: &[u8]| story.work(other.wait(), args)).unwrap();
    };
    let Pair { controller, executor } = connect_over(here, there, build, build, serve);
    let start = Instant::now();
    let threads: Vec<_> = plans
        .iter()
        .enumerate()
        .map(|(index, plan)| {
            let peer = if index % 2 == 0 { controller.downgrade() } else { executor.downgrade() };
            let mut list = Vec::new();
            flatten(plan, 0, &mut list);
            let story = Arc::clone(&story);
            thread::spawn(move || story.call(&peer, &list))
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
    // Handlers of calls that were given up may still run.
    eventually("nothing is under way", || {
        let idle = |peer: &Peer| peer.in_flight() == (0, 0);
        idle(&controller) && idle(&executor) && story.running.load(Ordering::SeqCst) == 0
    });
    let was_cut = controller.closed().is_some() || executor.closed().is_some();
    for peer in [&controller, &executor] {
        if was_cut {
            peer.wait_closed();
        }
        let waiting = || peer.recent_calls().iter().any(|call| call.state == CallState::Waiting);
        eventually("no call is said to wait", || !waiting());
    }
    drop((controller, executor));
    story.check(was_cut);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, max_shrink_iters: 40, ..ProptestConfig::default() })]
    #[test]
    fn every_call_returns_once_and_as_the_other_side_says(
        plans in vec(plan(), 1..5),
        seed in any::<u64>(),
        inline in any::<bool>(),
    ) {
        carry_out(&plans, seed, None, inline);
    }

    #[test]
    fn every_call_returns_once_wherever_the_line_is_cut(
        plans in vec(plan(), 1..5),
        seed in any::<u64>(),
        cut in 2..60u64,
        inline in any::<bool>(),
    ) {
        carry_out(&plans, seed, Some(cut), inline);
    }
}

#[test]
fn a_chain_of_calls_ends_well_or_at_once_wherever_the_line_is_cut() {
    let chain = |ways: [Way; 4]| {
        ways.into_iter()
            .rev()
            .fold(None, |nested: Option<Plan>, way| Some(Plan { way, work: 50, nested: nested.into_iter().collect() }))
    };
    let plain = chain([Way::Plain; 4]).unwrap();
    let limited = chain([Way::Plain, Way::Within(2000), Way::Plain, Way::Cancelled(500)]).unwrap();
    for cut in 2..=14 {
        carry_out(&[plain.clone(), limited.clone()], cut, Some(cut), cut % 2 == 0);
    }
}
