//! Do messages that are not answered arrive, in order, and only where both sides take them?

mod common;

use std::sync::{Arc, Mutex};

use common::{Pair, connect, controller_by_hand, eventually, executor_by_hand};
use dispatch::frame::{Opcode, Seq};
use dispatch::{CallError, Caller, Features, Limits, Tag, call_typed};

const SUBJECT: Tag = Tag(0x100);
const ECHO: Tag = Tag(1);

type Heard = Arc<Mutex<Vec<(Tag, Vec<u8>)>>>;

fn listen(heard: &Heard) -> impl Fn(Tag, &[u8]) + Send + Sync + 'static {
    let heard = Arc::clone(heard);
    move |subject, bytes: &[u8]| heard.lock().unwrap().push((subject, bytes.to_vec()))
}

#[test]
fn notices_arrive_in_order_and_before_the_answer_that_follows_them() {
    let heard = Heard::default();
    let Pair { controller, executor: _executor } = connect(
        |connect| connect.on_notice(listen(&heard)),
        |registry, other| {
            registry
                .serve(ECHO, move |n: u32| {
                    let peer = other.wait().upgrade().unwrap();
                    for line in 0..n {
                        peer.notify(Tag(0x100 + u64::from(line)), &line.to_le_bytes()).unwrap();
                    }
                    n
                })
                .unwrap();
        },
    );
    assert_eq!(call_typed::<u32, u32>(&controller, ECHO, &50), Ok(50));
    let heard = heard.lock().unwrap();
    let expected: Vec<_> = (0..50u32).map(|n| (Tag(0x100 + u64::from(n)), n.to_le_bytes().to_vec())).collect();
    assert_eq!(*heard, expected);
}

#[test]
fn a_notice_that_nobody_listens_to_is_dropped_and_a_panic_of_a_listener_ends_nothing() {
    let Pair { controller, executor: _executor } =
        connect(|connect| connect, |registry, _| registry.serve(ECHO, |n: u32| n).unwrap());
    controller.notify(SUBJECT, b"?").unwrap();
    assert_eq!(call_typed::<u32, u32>(&controller, ECHO, &5), Ok(5));

    let Pair { controller, executor: _executor } = connect(
        |connect| connect.on_notice(|_, _| panic!("at the disco")),
        |registry, _| registry.serve(ECHO, |n: u32| n).unwrap(),
    );
    controller.notify(SUBJECT, b"!").unwrap();
    assert_eq!(call_typed::<u32, u32>(&controller, ECHO, &6), Ok(6));
}

#[test]
fn notices_that_cannot_be_sent_say_why_and_the_connection_goes_on() {
    let limits = Limits { max_notice: 100, ..Limits::default() };
    let Pair { controller, executor } =
        connect(|connect| connect.limits(limits), |registry, _| registry.serve(ECHO, |n: u32| n).unwrap());
    assert_eq!(controller.notify(Tag(0xff), b""), Err(CallError::ReservedSubject(Tag(0xff))));
    assert_eq!(controller.notify(SUBJECT, &[0; 68]), Ok(()));
    let error = controller.notify(SUBJECT, &[0; 69]).unwrap_err();
    assert_eq!(error, CallError::TooLarge { tag: SUBJECT, size: 101, limit: 100 });
    assert_eq!(call_typed::<u32, u32>(&controller, ECHO, &5), Ok(5));
    drop(executor);
    controller.wait_closed();
    assert!(matches!(controller.notify(SUBJECT, b""), Err(CallError::Disconnected(_))));

    let Pair { controller, executor: _executor } =
        connect(|connect| connect.features(Features::all() - Features::NOTICE), |_, _| {});
    assert_eq!(controller.notify(SUBJECT, b""), Err(CallError::NoNotices(SUBJECT)));
}

#[test]
fn an_executor_may_notify_once_its_controller_has_introduced_itself() {
    let (executor, mut hand) = executor_by_hand(|connect| connect);
    assert_eq!(executor.notify(SUBJECT, b""), Err(CallError::NoNotices(SUBJECT)));
    hand.introduce(Features::all());
    eventually("the executor hears what was agreed", || executor.features() == Features::all());
    executor.notify(SUBJECT, b"now").unwrap();
    let frame = hand.recv().unwrap();
    assert_eq!(
        (frame.opcode, frame.seq, frame.tag, &*frame.payload),
        (Opcode::Notice, Seq::NONE, SUBJECT, &b"now"[..])
    );
}

#[test]
fn notices_that_must_not_come_end_the_connection() {
    let cases = [
        (Features::empty(), Seq::NONE, SUBJECT, 0, "a notice of tag-0x100, which was not agreed on"),
        (Features::all(), Seq(5), SUBJECT, 0, "its notice of tag-0x100 bears call-5"),
        (Features::all(), Seq::NONE, Tag(0xff), 0, "a notice of tag-0xff, which was not agreed on"),
        (Features::all(), Seq::NONE, SUBJECT, 5 << 20, "a Notice of 5242912 bytes, more than the 4194304 allowed"),
    ];
    for (features, seq, subject, size, words) in cases {
        let (peer, mut hand) = controller_by_hand(|connect| connect, features);
        hand.send(Opcode::Notice, seq, subject, &vec![0; size]);
        let closed = peer.wait_closed();
        assert!(closed.reason.contains(words), "{closed}");
        assert!(matches!(peer.call(ECHO, b""), Err(CallError::Disconnected(_))));
    }
}
