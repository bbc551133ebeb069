//! Does a call that is given up end here at once, and there as soon as it can?

mod common;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use common::{Other, Pair, connect, controller_by_hand, eventually, executor_by_hand};
use dispatch::dispatcher::{Inline, Queue};
use dispatch::frame::{Opcode, Seq};
use dispatch::packed::to_bytes;
use dispatch::{
    CallError, CallState, Caller, CancelToken, Connect, Features, Limits, Peer, Registry, Reply, Tag, call_typed,
};

const ECHO: Tag = Tag(1);
const SPIN: Tag = Tag(2);
const NEST: Tag = Tag(3);
const SHORT: Duration = Duration::from_millis(30);
const LONG: Duration = Duration::from_secs(20);

/// What the handlers saw.
#[derive(Default)]
struct Seen {
    spinning: AtomicUsize,
    cancelled: AtomicUsize,
    nested: Mutex<Vec<Result<Reply, CallError>>>,
}

/// ECHO answers at once; SPIN runs until nobody waits for it; NEST calls SPIN on the other side, then ECHO.
fn serve(registry: &Registry, other: Other, seen: &Arc<Seen>) {
    registry.add(ECHO, |args: &[u8]| Reply::copy_from(args)).unwrap();
    let spin = Arc::clone(seen);
    registry
        .serve(SPIN, move |(): ()| {
            spin.spinning.fetch_add(1, Ordering::SeqCst);
            let start = Instant::now();
            while !dispatch::cancelled() {
                assert!(start.elapsed() < LONG, "nobody gives it up");
                thread::sleep(Duration::from_millis(1));
            }
            spin.cancelled.fetch_add(1, Ordering::SeqCst);
        })
        .unwrap();
    let nest = Arc::clone(seen);
    registry
        .serve(NEST, move |(): ()| {
            for tag in [SPIN, ECHO] {
                let result = other.wait().call(tag, b"");
                nest.nested.lock().unwrap().push(result);
            }
        })
        .unwrap();
}

fn pair(build: impl Fn(Connect) -> Connect) -> (Pair, Arc<Seen>) {
    let seen = Arc::<Seen>::default();
    (connect(build, |registry, other| serve(registry, other, &seen)), seen)
}

/// Nothing is left of the calls, on neither side.
fn all_settled(Pair { controller, executor }: &Pair) {
    let settled = |peer: &Peer| peer.in_flight() == (0, 0);
    eventually("every number is free again", || settled(controller) && settled(executor));
    for peer in [controller, executor] {
        assert!(peer.recent_calls().iter().all(|call| call.state != CallState::Waiting));
        assert_eq!(peer.call_within(LONG, ECHO, b"more").unwrap().bytes(), Ok(&b"more"[..]), "the connection goes on");
    }
}

#[test]
fn a_handler_learns_that_its_caller_has_given_up() {
    let (pair, seen) = pair(|connect| connect);
    assert!(!dispatch::cancelled(), "outside of a handler somebody always waits");
    assert_eq!(pair.controller.call_within(SHORT, SPIN, b""), Err(CallError::TimedOut(SPIN)));
    eventually("the handler stops", || seen.cancelled.load(Ordering::SeqCst) == 1);
    all_settled(&pair);
}

#[test]
fn a_default_deadline_limits_every_call() {
    let (pair, seen) = pair(|connect| connect.deadline(SHORT));
    assert_eq!(pair.controller.call(SPIN, b""), Err(CallError::TimedOut(SPIN)));
    assert_eq!(pair.executor.call(SPIN, b""), Err(CallError::TimedOut(SPIN)));
    eventually("the handlers stop", || seen.cancelled.load(Ordering::SeqCst) == 2);
    all_settled(&pair);
}

#[test]
fn a_call_that_has_not_begun_is_never_run() {
    let queue = Queue::new();
    let heard = Arc::new(AtomicBool::new(false));
    let (seen, note) = (Arc::<Seen>::default(), Arc::clone(&heard));
    let registry = Arc::new(Registry::new());
    serve(&registry, Other::default(), &seen);
    let (executor, mut hand) = executor_by_hand(|connect| {
        let listening = connect.on_notice(move |_, _| note.store(true, Ordering::SeqCst));
        listening.handlers(registry).dispatcher(queue.clone())
    });
    hand.introduce(Features::all());
    hand.send(Opcode::Call, Seq(7), SPIN, b"");
    hand.send(Opcode::Call, Seq(8), ECHO, b"next");
    hand.send(Opcode::Notice, Seq::NONE, Tag(3), &to_bytes(&7u64));
    hand.send(Opcode::Notice, Seq::NONE, Tag(0x100), b"");
    eventually("it has all been heard", || heard.load(Ordering::SeqCst));
    assert_eq!((queue.len(), executor.in_flight()), (2, (0, 2)));
    assert_eq!(queue.run_pending(), 2);
    assert_eq!(seen.spinning.load(Ordering::SeqCst), 0, "its handler must not run");
    let dropped = hand.recv().unwrap();
    assert_eq!((dropped.seq, dropped.tag, &*dropped.payload), (Seq(7), Tag(1), &b"cancelled"[..]));
    let answered = hand.recv().unwrap();
    assert_eq!((answered.seq, answered.tag, &*answered.payload), (Seq(8), Tag(0), &b"next"[..]));
    assert_eq!(executor.in_flight(), (0, 0));
}

#[test]
fn nested_calls_fail_with_the_call_they_are_made_for() {
    // The executor's NEST waits for our SPIN; when we give NEST up, its nested call fails at once, and so do its later ones. Our
    // SPIN, which runs on behalf of both, learns of it in turn.
    let (pair, seen) = pair(|connect| connect);
    let token = CancelToken::new();
    let button = token.clone();
    let spinning = Arc::clone(&seen);
    let presser = thread::spawn(move || {
        eventually("the innermost handler runs", || spinning.spinning.load(Ordering::SeqCst) == 1);
        button.cancel();
    });
    let start = Instant::now();
    let result = pair.controller.call_cancellable(&token, NEST, b"");
    assert_eq!(result, Err(CallError::Cancelled(NEST)));
    presser.join().unwrap();
    eventually("the nested calls fail", || seen.nested.lock().unwrap().len() == 2);
    let expected = [Err(CallError::Cancelled(SPIN)), Err(CallError::Cancelled(ECHO))];
    assert_eq!(*seen.nested.lock().unwrap(), expected);
    assert_eq!(seen.cancelled.load(Ordering::SeqCst), 1);
    assert!(start.elapsed() < LONG);
    all_settled(&pair);
}

#[test]
fn what_is_called_on_behalf_of_a_limited_call_has_its_limit() {
    // NEST there calls NEST here, on our thread, whose call of SPIN says nothing of time, but is made for one that does.
    let seen = Arc::<Seen>::default();
    let limited = Arc::new(Mutex::new(Vec::new()));
    let pair = connect(
        |connect| connect,
        |registry, other| {
            serve(registry, Arc::clone(&other), &seen);
            let limited = Arc::clone(&limited);
            registry
                .serve(Tag(9), move |depth: u32| {
                    let tag = if depth == 0 { SPIN } else { Tag(9) };
                    let args = if depth == 0 { Vec::new() } else { to_bytes(&(depth - 1)) };
                    let result = other.wait().call(tag, &args).map(|reply| reply.as_error().map(str::to_owned));
                    limited.lock().unwrap().push((depth, result));
                })
                .unwrap();
        },
    );
    let start = Instant::now();
    let result = pair.controller.call_within(Duration::from_millis(300), Tag(9), &to_bytes(&5u32));
    assert_eq!(result, Err(CallError::TimedOut(Tag(9))));
    assert!(start.elapsed() < LONG / 2, "{:?}", start.elapsed());
    eventually("every handler returns", || pair.controller.in_flight() == (0, 0));
    // The time is up in the innermost first, which is ours; those around it may still get an answer while it unwinds.
    let limited = limited.lock().unwrap();
    let in_time = |result: &_| matches!(result, (0 | 2 | 4, Err(CallError::TimedOut(_))));
    assert!(limited.iter().any(in_time), "{limited:?}");
    all_settled(&pair);
}

#[test]
fn a_token_calls_off_all_its_calls_and_later_ones() {
    let (pair, seen) = pair(|connect| connect);
    let token = CancelToken::new();
    let calls: Vec<_> = (0..6)
        .map(|index| {
            let peer = if index % 2 == 0 { pair.controller.clone() } else { pair.executor.clone() };
            let token = token.clone();
            thread::spawn(move || peer.call_cancellable(&token, SPIN, b""))
        })
        .collect();
    eventually("all run", || seen.spinning.load(Ordering::SeqCst) == 6);
    assert_eq!(format!("{token:?}"), "CancelToken(not cancelled)");
    token.cancel();
    token.cancel();
    for call in calls {
        assert_eq!(call.join().unwrap(), Err(CallError::Cancelled(SPIN)));
    }
    assert!(token.is_cancelled());
    assert_eq!(pair.controller.call_cancellable(&token, SPIN, b""), Err(CallError::Cancelled(SPIN)));
    eventually("all stop", || seen.cancelled.load(Ordering::SeqCst) == 6);
    assert_eq!(seen.spinning.load(Ordering::SeqCst), 6, "a call of a used token is not made");
    all_settled(&pair);

    let token = CancelToken::new();
    let reply = pair.controller.call_cancellable(&token, ECHO, b"fine").unwrap();
    assert_eq!(reply.bytes(), Ok(&b"fine"[..]));
    token.cancel();
    all_settled(&pair);
}

#[test]
fn tokens_used_while_calls_begin_and_end_leave_nothing_behind() {
    let (pair, _) = pair(|connect| connect);
    let results: Vec<_> = (0..300u32)
        .map(|round| {
            let token = CancelToken::new();
            let button = token.clone();
            let presser = thread::spawn(move || {
                for _ in 0..round * 7 {
                    std::hint::spin_loop();
                }
                button.cancel();
            });
            let result = pair.controller.call_cancellable(&token, ECHO, b"x");
            presser.join().unwrap();
            result
        })
        .collect();
    for result in results {
        match result {
            Ok(reply) => assert_eq!(reply.bytes(), Ok(&b"x"[..])),
            Err(error) => assert_eq!(error, CallError::Cancelled(ECHO)),
        }
    }
    all_settled(&pair);
}

#[test]
fn a_call_that_runs_inline_does_not_keep_limited_calls_from_their_answers() {
    // The only server thread runs a handler of the other side's, for long; another must read.
    let (go, wait) = mpsc::channel::<()>();
    let wait = Arc::new(Mutex::new(wait));
    let Pair { controller, executor } = connect(
        |connect| connect.dispatcher(Inline).deadline(LONG),
        |registry, _| {
            registry.add(ECHO, |args: &[u8]| Reply::copy_from(args)).unwrap();
            let wait = Arc::clone(&wait);
            registry.serve(SPIN, move |(): ()| wait.lock().unwrap().recv().is_ok()).unwrap();
        },
    );
    let blocked = thread::spawn(move || call_typed::<(), bool>(&executor, SPIN, &()));
    eventually("the handler runs", || controller.in_flight().1 == 1);
    let start = Instant::now();
    for _ in 0..20 {
        assert_eq!(controller.call(ECHO, b"x").unwrap().bytes(), Ok(&b"x"[..]));
    }
    assert!(start.elapsed() < LONG / 2, "{:?}", start.elapsed());
    go.send(()).unwrap();
    assert_eq!(blocked.join().unwrap(), Ok(true));
}

#[test]
fn the_word_of_it_is_a_notice_and_the_number_is_free_after_the_answer() {
    let limits = Limits { max_pending: 1, ..Limits::default() };
    let (peer, mut hand) = controller_by_hand(|connect| connect.limits(limits), Features::all());
    assert_eq!(peer.call_within(SHORT, SPIN, b"abc"), Err(CallError::TimedOut(SPIN)));
    let call = hand.recv().unwrap();
    let word = hand.recv().unwrap();
    assert_eq!((word.opcode, word.seq, word.tag), (Opcode::Notice, Seq::NONE, Tag(3)));
    assert_eq!(*word.payload, to_bytes(&call.seq.0));
    assert_eq!(peer.call(ECHO, b""), Err(CallError::TooManyPending { limit: 1 }));
    hand.send(Opcode::Result, call.seq, Tag(1), b"cancelled");
    eventually("the number is free", || peer.in_flight() == (0, 0));
    // Without the feature nothing is said.
    let (peer, mut hand) = controller_by_hand(|connect| connect, Features::all() - Features::CANCEL);
    assert_eq!(peer.call_within(SHORT, SPIN, b"abc"), Err(CallError::TimedOut(SPIN)));
    peer.notify(Tag(0x100), b"").unwrap();
    assert_eq!(hand.recv().unwrap().opcode, Opcode::Call);
    assert_eq!(hand.recv().unwrap().tag, Tag(0x100));
}

#[test]
fn cancellations_of_unknown_calls_are_nothing_and_broken_ones_the_end() {
    let ran = Arc::new(AtomicBool::new(false));
    let registry = Arc::new(Registry::new());
    let note = Arc::clone(&ran);
    registry.serve(ECHO, move |n: u32| note.store(n == 7, Ordering::SeqCst)).unwrap();
    let (executor, mut hand) = executor_by_hand(|connect| connect.handlers(registry));
    hand.introduce(Features::all());
    for seq in 0..100_000u64 {
        hand.send(Opcode::Notice, Seq::NONE, Tag(3), &to_bytes(&seq));
    }
    hand.send(Opcode::Call, Seq(5), ECHO, &to_bytes(&7u32));
    let answer = hand.recv().unwrap();
    assert_eq!((answer.opcode, answer.seq), (Opcode::Result, Seq(5)));
    assert!(ran.load(Ordering::SeqCst), "what came before its call gives up nothing");
    assert_eq!(executor.in_flight(), (0, 0));
    hand.send(Opcode::Notice, Seq::NONE, Tag(3), b"seven");
    let closed = executor.wait_closed();
    assert!(closed.reason.contains("its notice of tag-0x3 cannot be read"), "{closed}");
}
