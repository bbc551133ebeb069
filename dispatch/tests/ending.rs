//! When a connection ends, does everyone hear why, once, and in the best words there are?

mod common;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use common::{Pair, connect, connect_over, controller_by_hand, eventually};
use dispatch::frame::{Opcode, Seq};
use dispatch::layer::Direction;
use dispatch::layer::fault::Fault;
use dispatch::packed::{Status, to_bytes};
use dispatch::transport::channel;
use dispatch::{CallError, CallState, Caller, Features, Peer, Tag, WeakPeer, call_typed};

const ECHO: Tag = Tag(1);
const FAIL: Tag = Tag(2);
const BLOCK: Tag = Tag(3);

fn reason(result: Result<dispatch::Reply, CallError>) -> String {
    match result {
        Err(CallError::Disconnected(disconnect)) => disconnect.reason.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_call_fails_with_the_better_reason_and_none_before_it_is_known() {
    let (answer, wait) = mpsc::channel::<()>();
    let (wait, asked) = (Mutex::new(wait), Arc::new(AtomicUsize::new(0)));
    let count = Arc::clone(&asked);
    let explain = move |plain: &str| {
        assert_eq!(plain, "it closed the connection without a word");
        count.fetch_add(1, Ordering::SeqCst);
        wait.lock().unwrap().recv().unwrap();
        Some("its process was killed by signal 9".to_owned())
    };
    let (peer, mut hand) = controller_by_hand(|connect| connect.explain(explain), Features::all());
    let failed = Arc::new(AtomicUsize::new(0));
    let call = |act: fn(&Peer) -> Result<dispatch::Reply, CallError>| {
        let (peer, failed) = (peer.clone(), Arc::clone(&failed));
        thread::spawn(move || {
            let result = act(&peer);
            failed.fetch_add(1, Ordering::SeqCst);
            result
        })
    };
    let mut calls = vec![
        call(|peer| peer.call(ECHO, b"")),
        call(|peer| peer.call(ECHO, b"")),
        // Its time is up long before the answer.
        call(|peer| peer.call_within(Duration::from_millis(500), ECHO, b"")),
    ];
    (0..3).for_each(|_| assert_eq!(hand.recv().unwrap().opcode, Opcode::Call));
    drop(hand);
    eventually("somebody is asked", || asked.load(Ordering::SeqCst) == 1);
    calls.push(call(|peer| peer.call(ECHO, b"")));
    calls.push(call(|peer| {
        peer.notify(Tag(0x100), b"")?;
        panic!("it cannot be sent")
    }));
    thread::sleep(Duration::from_millis(700));
    assert_eq!(failed.load(Ordering::SeqCst), 0, "nobody fails before the reason is known");
    assert!(peer.closed().is_none());
    answer.send(()).unwrap();
    for call in calls {
        assert_eq!(reason(call.join().unwrap()), "its process was killed by signal 9");
    }
    assert_eq!(peer.wait_closed().reason, "its process was killed by signal 9");
    assert_eq!(reason(peer.call(ECHO, b"")), "its process was killed by signal 9");
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

#[test]
fn nobody_is_asked_why_a_side_hung_up() {
    let never = |plain: &str| -> Option<String> { panic!("asked about {plain}") };
    let (peer, mut hand) = controller_by_hand(|connect| connect.explain(never), Features::all());
    hand.send(Opcode::Hangup, Seq::NONE, Tag(0), &to_bytes(&Status(Err("done".into()))));
    assert_eq!(peer.wait_closed().reason, "it hung up: done");

    let (peer, _hand) = controller_by_hand(|connect| connect.explain(never), Features::all());
    peer.hang_up(Ok(()));
    assert_eq!(peer.wait_closed().reason, "this side has hung up");
    let (peer, _hand) = controller_by_hand(|connect| connect.explain(never), Features::all());
    drop(peer);
}

#[test]
fn without_a_better_reason_or_with_a_panic_the_plain_one_stands() {
    let explainers: [fn(&str) -> Option<String>; 2] = [|_| None, |_| panic!("at the disco")];
    for explain in explainers {
        let (peer, mut hand) = controller_by_hand(|connect| connect.explain(explain), Features::all());
        hand.send(Opcode::Result, Seq(99), Tag(0), b"");
        assert_eq!(peer.wait_closed().reason, "it answered call-99, which is not waiting for an answer");
    }
}

#[test]
fn the_one_who_explains_may_ask_the_peer_itself() {
    let me = Arc::new(OnceLock::<WeakPeer>::new());
    let peer_of = Arc::clone(&me);
    let explain = move |plain: &str| {
        let peer = peer_of.get()?.upgrade()?;
        let calls: Vec<String> = peer.recent_calls().iter().map(ToString::to_string).collect();
        // It gets no better reason than it was given.
        let error = reason(peer.call(ECHO, b""));
        assert_eq!((error.as_str(), &*peer.wait_closed().reason, &*peer.serve().reason), (plain, plain, plain));
        peer.hang_up(Ok(()));
        Some(format!("it died in {}", calls.join("; ")))
    };
    let (peer, mut hand) = controller_by_hand(|connect| connect.explain(explain), Features::all());
    me.set(peer.downgrade()).unwrap();
    let caller = peer.clone();
    let call = thread::spawn(move || caller.call(Tag(0x77), b"abc"));
    hand.recv().unwrap();
    drop(hand);
    let reason = reason(call.join().unwrap());
    assert!(reason.starts_with("it died in -> call-1 tag-0x77 3 bytes, waiting for "), "{reason}");
}

#[test]
fn the_line_is_closed_before_anyone_is_asked() {
    // The other side ends when its line does; who explains waits for that.
    let (ended, wait) = mpsc::channel::<String>();
    let wait = Mutex::new(wait);
    let explain = move |_: &str| wait.lock().unwrap().recv_timeout(Duration::from_secs(20)).ok();
    let (peer, mut hand) = controller_by_hand(|connect| connect.explain(explain), Features::all());
    let other = thread::spawn(move || {
        hand.send(Opcode::Result, Seq(99), Tag(0), b"");
        while hand.recv().is_some() {}
        ended.send("its process exited with 3".to_owned()).unwrap();
    });
    assert_eq!(peer.wait_closed().reason, "its process exited with 3");
    other.join().unwrap();
}

#[test]
fn a_failed_send_asks_too_and_only_one_is_asked() {
    for cut in 2..6 {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        let explain = move |_: &str| {
            count.fetch_add(1, Ordering::SeqCst);
            thread::sleep(Duration::from_millis(20));
            Some("it was unplugged".to_owned())
        };
        let (here, there) = channel::pair();
        let here = Fault::new(here).cut_at(cut);
        let Pair { controller, executor: _executor } = connect_over(
            here,
            there,
            |connect| connect.explain(explain),
            |connect| connect,
            |registry, _| registry.serve(ECHO, |n: u32| n).unwrap(),
        );
        let callers: Vec<_> = (0..4)
            .map(|_| {
                let controller = controller.clone();
                thread::spawn(move || {
                    loop {
                        match controller.call(ECHO, &to_bytes(&1u32)) {
                            Ok(_) => {}
                            failed => return reason(failed),
                        }
                    }
                })
            })
            .collect();
        for caller in callers {
            assert_eq!(caller.join().unwrap(), "it was unplugged", "cut at {cut}");
        }
        assert_eq!(asked.load(Ordering::SeqCst), 1);
    }
}

#[test]
fn the_last_calls_are_remembered_with_what_became_of_them() {
    let (go, wait) = mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let wait = Arc::new(wait);
    let Pair { controller, executor } = connect(
        |connect| connect,
        |registry, other| {
            let wait = Arc::clone(&wait);
            registry.serve(BLOCK, move |(): ()| wait.lock().unwrap().recv().is_ok()).unwrap();
            registry.serve(FAIL, |(): ()| -> u32 { panic!("no") }).unwrap();
            registry
                .serve(ECHO, move |n: u32| match n {
                    0 => 0,
                    n => call_typed::<u32, u32>(other.wait(), ECHO, &(n - 1)).unwrap(),
                })
                .unwrap();
        },
    );
    assert!(controller.recent_calls().is_empty());
    assert_eq!(call_typed::<u32, u32>(&controller, ECHO, &1), Ok(0));
    assert!(controller.call(FAIL, b"").unwrap().as_error().is_some());
    let blocked = {
        let controller = controller.clone();
        thread::spawn(move || call_typed::<(), bool>(&controller, BLOCK, &()))
    };
    eventually("the executor blocks", || executor.recent_calls().len() == 4);
    let seen = |peer: &Peer| -> Vec<_> {
        let calls = peer.recent_calls();
        calls.iter().map(|c| (c.direction, c.tag, c.parent, c.bytes, c.state)).collect()
    };
    use CallState::{Answered, Failed, Waiting};
    use Direction::{Received, Sent};
    let expected = [
        (Sent, ECHO, None, 4, Answered),
        (Received, ECHO, Some(1), 4, Answered),
        (Sent, FAIL, None, 0, Failed),
        (Sent, BLOCK, None, 0, Waiting),
    ];
    assert_eq!(seen(&controller), expected);
    let turned = |direction| if direction == Sent { Received } else { Sent };
    assert_eq!(seen(&executor), expected.map(|(d, tag, parent, bytes, state)| (turned(d), tag, parent, bytes, state)));

    let before = controller.recent_calls()[3].duration;
    thread::sleep(Duration::from_millis(5));
    assert!(controller.recent_calls()[3].duration > before, "a call that waits goes on ageing");
    let start = Instant::now();
    controller.hang_up(Ok(()));
    assert!(matches!(blocked.join().unwrap(), Err(CallError::Disconnected(_))));
    go.send(()).unwrap();
    let last = controller.recent_calls()[3].clone();
    assert_eq!(last.state, Failed);
    assert!(last.duration <= before + start.elapsed() + Duration::from_secs(1));
}
