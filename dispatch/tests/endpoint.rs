//! Does the protocol keep its promises, whatever the order of things?

use std::collections::VecDeque;

use dispatch::frame::{Frame, Opcode, Seq};
use dispatch::packed::{Status, from_bytes, to_bytes};
use dispatch::{Endpoint, Event, Features, Limits, ProtocolError, Refusal, Reply, Role, Tag};
use proptest::collection::vec;
use proptest::prelude::*;

const LIMITS: Limits =
    Limits { max_frame: 4096, max_pending: 8, max_depth: 10, max_held: 20_000, max_setup: 1000, max_notice: 2000 };

/// What happened to a call: its waiter is a number.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fate {
    Waiting,
    Answered,
    Abandoned,
    Failed,
}

/// One side, with its model.
struct Side {
    endpoint: Endpoint<usize>,
    fates: Vec<Fate>,
    numbers: Vec<u32>,
    /// Calls of the other side: sequence number, and what was asked.
    serving: Vec<(Seq, u64)>,
}

impl Side {
    fn new(role: Role) -> Self {
        Side { endpoint: Endpoint::new(role, LIMITS), fates: vec![], numbers: vec![], serving: vec![] }
    }

    /// A waiter came back.
    fn settle(&mut self, waiter: usize, fate: Fate) {
        assert_eq!(self.fates[waiter], Fate::Waiting, "waiter {waiter} came back twice");
        self.fates[waiter] = fate;
    }

    fn receive(&mut self, frame: Frame<'static>) {
        match self.endpoint.receive(frame).expect("both sides keep to the protocol") {
            Event::Setup(_) => self.endpoint.agree(Features::all()),
            Event::Call { seq, tag, args, parent } => {
                let asked: u64 = from_bytes(&args).unwrap();
                assert_eq!(tag, Tag(asked % 5));
                if let Some(parent) = parent {
                    let waiter = *self.endpoint.waiter(parent).expect("a parent waits");
                    assert_eq!(self.fates[waiter], Fate::Waiting);
                }
                self.serving.push((seq, asked));
            }
            Event::Answer(waiter, reply) => {
                // Calls ask with their own waiter; half of the answers are errors.
                let asked = waiter as u64;
                match reply.bytes() {
                    Ok(bytes) => assert_eq!(from_bytes::<u64>(bytes), Ok(asked + 1)),
                    Err(text) => assert_eq!(text, format!("not {asked}")),
                }
                self.settle(waiter, Fate::Answered);
            }
            Event::Late => {}
            Event::Hangup(reason) => {
                assert_eq!(reason, Err("enough".to_owned()));
                self.close();
            }
            notice => panic!("nobody sent {notice:?}"),
        }
    }

    fn close(&mut self) {
        let waiters = self.endpoint.close();
        assert!(waiters.is_sorted(), "in the order in which they called");
        for waiter in waiters {
            self.settle(waiter, Fate::Failed);
        }
    }

    fn waiting(&self) -> usize {
        self.fates.iter().filter(|fate| **fate == Fate::Waiting).count()
    }
}

#[derive(Debug, Clone)]
enum Step {
    /// A side calls, on behalf of one of the calls that it serves or of none.
    Call(bool, Option<prop::sample::Index>),
    /// The oldest message to a side arrives.
    Deliver(bool),
    /// A side answers one of the calls that it serves, perhaps with an error.
    Answer(bool, prop::sample::Index, bool),
    Abandon(bool, prop::sample::Index),
}

fn step() -> impl Strategy<Value = Step> {
    let index = any::<prop::sample::Index>;
    prop_oneof![
        3 => (any::<bool>(), proptest::option::of(index())).prop_map(|(side, parent)| Step::Call(side, parent)),
        5 => any::<bool>().prop_map(Step::Deliver),
        3 => (any::<bool>(), index(), any::<bool>()).prop_map(|(side, which, ok)| Step::Answer(side, which, ok)),
        1 => (any::<bool>(), index()).prop_map(|(side, which)| Step::Abandon(side, which)),
    ]
}

/// Two endpoints and the messages between them.
struct World {
    sides: [Side; 2],
    /// To each side.
    mail: [VecDeque<Frame<'static>>; 2],
}

impl World {
    fn new() -> Self {
        let mut world = World {
            sides: [Side::new(Role::Controller), Side::new(Role::Executor)],
            mail: [VecDeque::new(), VecDeque::new()],
        };
        let setup = world.sides[1].endpoint.setup(b"I am").into_owned();
        world.sides[0].receive(setup);
        let answer = world.sides[0].endpoint.setup(b"so am I").into_owned();
        world.sides[1].receive(answer);
        world
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Call(side, parent) => self.call(usize::from(*side), parent.as_ref()),
            Step::Deliver(side) => {
                if let Some(frame) = self.mail[usize::from(*side)].pop_front() {
                    self.sides[usize::from(*side)].receive(frame);
                }
            }
            Step::Answer(side, which, ok) => {
                let index = usize::from(*side);
                let side = &mut self.sides[index];
                if side.serving.is_empty() {
                    return;
                }
                let (seq, asked) = side.serving.swap_remove(which.index(side.serving.len()));
                let reply = if *ok { Reply::packed(&(asked + 1)) } else { Reply::error(format!("not {asked}")) };
                let frame = side.endpoint.answer(seq, &reply).expect("the call waits for it").into_owned();
                assert!(side.endpoint.answer(seq, &reply).is_none(), "a second answer is not sent");
                self.mail[1 - index].push_back(frame);
            }
            Step::Abandon(side, which) => {
                let side = &mut self.sides[usize::from(*side)];
                if side.numbers.is_empty() {
                    return;
                }
                let number = side.numbers[which.index(side.numbers.len())];
                if let Some(waiter) = side.endpoint.abandon(number) {
                    side.settle(waiter, Fate::Abandoned);
                }
            }
        }
    }

    fn call(&mut self, index: usize, parent: Option<&prop::sample::Index>) {
        let side = &mut self.sides[index];
        let serving = &side.serving;
        let parent = parent.filter(|_| !serving.is_empty()).map(|which| which.get(serving).0);
        let waiter = side.fates.len();
        let args = to_bytes(&(waiter as u64));
        let pending = side.endpoint.in_flight().0;
        match side.endpoint.call(Tag(waiter as u64 % 5), &args, parent, waiter) {
            Ok(frame) => {
                side.fates.push(Fate::Waiting);
                side.numbers.push(frame.seq.number());
                assert_eq!(frame.seq.parent(), parent.map_or(0, Seq::number));
                let frame = frame.into_owned();
                self.mail[1 - index].push_back(frame);
            }
            Err(refusal) => {
                assert_eq!(refusal, Refusal::TooManyPending { limit: LIMITS.max_pending });
                assert_eq!(pending, LIMITS.max_pending);
            }
        }
    }
}

proptest! {
    #[test]
    fn every_call_is_settled_once_whatever_the_order(steps in vec(step(), 0..200), hang_up in any::<Option<bool>>()) {
        let mut world = World::new();
        for step in &steps {
            world.take(step);
        }
        if let Some(side) = hang_up.map(usize::from) {
            // One side says goodbye; what was sent before still arrives, then the goodbye.
            let goodbye = world.sides[side].endpoint.hang_up(Err("enough".to_owned())).unwrap();
            world.mail[1 - side].push_back(goodbye);
            world.sides[side].close();
            while let Some(frame) = world.mail[1 - side].pop_front() {
                world.sides[1 - side].receive(frame);
            }
        } else {
            // The line is cut: nothing more arrives.
            world.sides[0].close();
            world.sides[1].close();
        }
        for side in &mut world.sides {
            prop_assert_eq!(side.waiting(), 0);
            prop_assert!(side.endpoint.close().is_empty(), "nobody is told twice");
            prop_assert_eq!(side.endpoint.in_flight(), (0, 0));
            let call = side.endpoint.call(Tag(1), b"", None, 0);
            prop_assert_eq!(call.unwrap_err(), Refusal::NotOpen);
        }
    }

    #[test]
    fn without_a_cut_everything_is_answered(steps in vec(step(), 0..200)) {
        let mut world = World::new();
        for step in &steps {
            world.take(step);
        }
        // Deliver and answer until nothing moves.
        while world.sides.iter().any(|side| side.endpoint.in_flight() != (0, 0)) {
            for side in [false, true] {
                world.take(&Step::Deliver(side));
                while let Some((seq, asked)) = world.sides[usize::from(side)].serving.pop() {
                    let reply = Reply::packed(&(asked + 1));
                    let frame = world.sides[usize::from(side)].endpoint.answer(seq, &reply).unwrap().into_owned();
                    world.mail[usize::from(!side)].push_back(frame);
                }
            }
        }
        for side in &world.sides {
            let fine = |fate: &Fate| matches!(fate, Fate::Answered | Fate::Abandoned);
            prop_assert!(side.fates.iter().all(fine));
        }
    }

    #[test]
    fn no_frame_makes_it_panic(frames in vec((0..5u64, 0..6u64, 0..3u64, vec(any::<u8>(), 0..20)), 0..50), executor in any::<bool>()) {
        let role = if executor { Role::Executor } else { Role::Controller };
        let mut endpoint = Endpoint::new(role, LIMITS);
        endpoint.setup(b"");
        let mut made = 0;
        let mut returned = Vec::new();
        for (opcode, seq, tag, payload) in frames {
            if endpoint.call(Tag(0), b"", None, made).is_ok() {
                made += 1;
            }
            let frame = Frame::new(Opcode::from_wire(opcode).unwrap(), Seq(seq), Tag(tag), payload);
            match endpoint.receive(frame) {
                Ok(Event::Answer(waiter, _)) => returned.push(waiter),
                Ok(Event::Hangup(_)) => break,
                Ok(_) => {}
                Err(error) => {
                    prop_assert!(!error.to_string().is_empty());
                    break;
                }
            }
            let (_, serving) = endpoint.in_flight();
            prop_assert!(serving <= LIMITS.max_pending);
        }
        returned.extend(endpoint.close());
        returned.sort_unstable();
        prop_assert_eq!(returned, (0..made).collect::<Vec<_>>());
    }
}

#[test]
fn a_scripted_session_cut_at_every_message_fails_what_waits_once() {
    // The controller calls; while that is served the executor calls back, twice; then answers.
    let script = |deliver: &mut dyn FnMut(&mut World, usize) -> bool, world: &mut World| -> bool {
        let outer = |world: &World| world.sides[1].serving[0].0;
        world.call(0, None);
        if !deliver(world, 1) {
            return false;
        }
        for _ in 0..2 {
            let parent = outer(world);
            let waiter = world.sides[1].fates.len();
            let args = to_bytes(&(waiter as u64));
            let side = &mut world.sides[1];
            let frame = side.endpoint.call(Tag(waiter as u64 % 5), &args, Some(parent), waiter).unwrap();
            let frame = frame.into_owned();
            side.fates.push(Fate::Waiting);
            world.mail[0].push_back(frame);
            if !deliver(world, 0) {
                return false;
            }
            answer(world, 0);
            if !deliver(world, 1) {
                return false;
            }
        }
        answer(world, 1);
        deliver(world, 0)
    };
    fn answer(world: &mut World, side: usize) {
        let (seq, asked) = world.sides[side].serving.pop().unwrap();
        let reply = Reply::packed(&(asked + 1));
        let frame = world.sides[side].endpoint.answer(seq, &reply).unwrap().into_owned();
        world.mail[1 - side].push_back(frame);
    }

    for cut in 0..=6 {
        let mut world = World::new();
        let mut left = cut;
        let mut deliver = |world: &mut World, side: usize| {
            if left == 0 {
                return false;
            }
            left -= 1;
            let frame = world.mail[side].pop_front().unwrap();
            world.sides[side].receive(frame);
            true
        };
        let done = script(&mut deliver, &mut world);
        assert_eq!(done, cut == 6, "the script has six messages");
        let waited: Vec<usize> = world.sides.iter().map(Side::waiting).collect();
        // Messages: call, call back, its answer, call back, its answer, answer.
        let expected = [[1, 0], [1, 1], [1, 1], [1, 1], [1, 1], [1, 0], [0, 0]][cut];
        assert_eq!(waited, expected, "cut at {cut}");
        for side in &mut world.sides {
            side.close();
            assert_eq!(side.waiting(), 0);
            assert!(side.endpoint.close().is_empty());
        }
    }
}

/// An open controller, with one call (number 1) that waits.
fn open() -> Endpoint<usize> {
    let mut endpoint = Endpoint::new(Role::Controller, LIMITS);
    endpoint.receive(Frame::new(Opcode::Setup, Seq::NONE, Tag(0), b"".as_slice())).unwrap();
    endpoint.call(Tag(5), b"", None, 0).unwrap();
    endpoint
}

#[test]
fn each_breach_of_the_protocol_has_a_name() {
    let frame = |opcode, seq, tag| Frame::new(opcode, Seq(seq), Tag(tag), b"".as_slice());
    let check = |frames: &[Frame<'static>], expected: ProtocolError, words: &str| {
        let mut endpoint = open();
        let (last, before) = frames.split_last().unwrap();
        for frame in before {
            endpoint.receive(frame.clone()).unwrap();
        }
        let error = endpoint.receive(last.clone()).unwrap_err();
        assert_eq!(error, expected);
        assert!(error.to_string().contains(words), "{error}");
        assert_eq!(endpoint.close().len(), 1 - before.iter().filter(|f| f.opcode == Opcode::Result).count());
    };
    let call = frame(Opcode::Call, 9, 1);
    check(&[frame(Opcode::Result, 2, 0)], ProtocolError::UnknownResult { seq: Seq(2) }, "call-2");
    check(
        &[frame(Opcode::Result, 1, 0), frame(Opcode::Result, 1, 0)],
        ProtocolError::UnknownResult { seq: Seq(1) },
        "not waiting",
    );
    let other_half = Seq::new(1, 1);
    check(
        &[frame(Opcode::Result, other_half.0, 0)],
        ProtocolError::UnknownResult { seq: other_half },
        "call-1(in call-1)",
    );
    // Error texts were not agreed on.
    check(&[frame(Opcode::Result, 1, 1)], ProtocolError::TaggedResult { seq: Seq(1), tag: Tag(1) }, "tag-0x1");
    check(&[frame(Opcode::Setup, 0, 0)], ProtocolError::LateSetup, "again");
    check(&[call.clone(), call], ProtocolError::RepeatedCall { seq: Seq(9) }, "twice");
    let flood: Vec<_> = (0..9).map(|seq| frame(Opcode::Call, seq, 1)).collect();
    check(&flood, ProtocolError::TooManyCalls { limit: 8 }, "more than 8");

    let sized = |opcode, size: usize| Frame::new(opcode, Seq(3), Tag(1), vec![0; size]);
    check(&[frame(Opcode::Notice, 0, 0x100)], ProtocolError::UnwantedNotice { subject: Tag(0x100) }, "not agreed on");
    let largest = sized(Opcode::Hangup, 1000);
    let error = ProtocolError::TooLarge { opcode: Opcode::Hangup, size: 1032, limit: 1000 };
    check(&[largest], error, "a Hangup of 1032 bytes");
    let held: Vec<_> = (1..=6).map(|seq| Frame::new(Opcode::Call, Seq(seq), Tag(1), vec![0; 4000])).collect();
    check(&held, ProtocolError::TooManyBytes { limit: 20_000 }, "more than 20000 bytes at once");

    let mut agreed = open();
    agreed.agree(Features::all());
    let numbered = agreed.receive(frame(Opcode::Notice, 7, 0x100)).unwrap_err();
    assert_eq!(numbered, ProtocolError::NumberedNotice { subject: Tag(0x100), seq: Seq(7) });
    for subject in [1, 2, 3] {
        let broken = Frame::new(Opcode::Notice, Seq::NONE, Tag(subject), b"odd".as_slice());
        assert!(matches!(agreed.receive(broken), Err(ProtocolError::BrokenNotice { .. })));
    }
    let unknown = agreed.receive(frame(Opcode::Notice, 0, 4)).unwrap_err();
    assert_eq!(unknown, ProtocolError::UnwantedNotice { subject: Tag(4) });

    let mut closed = open();
    assert_eq!(closed.close(), [0]);
    assert_eq!(closed.receive(frame(Opcode::Call, 1, 1)).unwrap_err(), ProtocolError::Closed);
    assert!(matches!(open().receive(frame(Opcode::Hangup, 0, 0)), Err(ProtocolError::Hangup(_))));

    for opcode in [Opcode::Call, Opcode::Result] {
        let mut fresh = Endpoint::<usize>::new(Role::Controller, LIMITS);
        assert_eq!(fresh.receive(frame(opcode, 0, 0)).unwrap_err(), ProtocolError::NoSetup { opcode });
        assert_eq!(fresh.call(Tag(0), b"", None, 0).unwrap_err(), Refusal::NotOpen);
    }
    let mut fresh = Endpoint::<usize>::new(Role::Controller, LIMITS);
    let error = fresh.receive(frame(Opcode::Setup, 3, 0)).unwrap_err();
    assert_eq!(error, ProtocolError::NumberedSetup { seq: Seq(3), tag: Tag(0) });
}

#[test]
fn a_peer_without_our_features_gets_plain_frames() {
    let mut endpoint = open();
    assert_eq!(endpoint.features(), Features::empty());
    let call = Frame::new(Opcode::Call, Seq::new(7, 1), Tag(1), b"".as_slice());
    // Its numbers are its own affair: the upper half is no parent.
    let Ok(Event::Call { seq, parent: None, .. }) = endpoint.receive(call) else { panic!("a call without a parent") };
    let nested = endpoint.call(Tag(1), b"", Some(seq), 1).unwrap();
    assert_eq!(nested.seq.parent(), 0);
    let reply = Reply::error("cannot be told");
    let answer = endpoint.answer(seq, &reply).unwrap();
    assert_eq!((answer.seq, answer.tag, answer.payload.len()), (seq, Tag(0), 0));
}

#[test]
fn what_is_too_large_is_refused_here_and_explained_there() {
    let mut endpoint = open();
    endpoint.agree(Features::all());
    let large = vec![0; 4096 - 31];
    let refusal = endpoint.call(Tag(1), &large, None, 1).unwrap_err();
    assert_eq!(refusal, Refusal::TooLarge { size: 4097, limit: 4096 });
    endpoint.call(Tag(1), &large[1..], None, 1).unwrap();

    endpoint.receive(Frame::new(Opcode::Call, Seq(1), Tag(1), b"".as_slice())).unwrap();
    let reply = Reply::from(large);
    let answer = endpoint.answer(Seq(1), &reply).unwrap();
    assert_eq!(answer.tag, Tag(1));
    let text = String::from_utf8_lossy(&answer.payload).into_owned();
    assert!(text.contains("4065 bytes") && text.contains("4096 bytes"), "{text}");
}

#[test]
fn a_hangup_says_why_once() {
    let mut endpoint = open();
    let frame = endpoint.hang_up(Err("done".to_owned())).unwrap();
    assert_eq!(from_bytes::<Status>(&frame.payload), Ok(Status(Err("done".to_owned()))));
    assert_eq!(frame.opcode, Opcode::Hangup);
    assert!(endpoint.hang_up(Ok(())).is_none());
    assert_eq!(endpoint.close(), [0]);
}

#[test]
fn a_reason_that_is_too_long_is_told_as_far_as_it_goes() {
    let mut endpoint = open();
    let frame = endpoint.hang_up(Err("\u{e4}".repeat(5000))).unwrap();
    assert!((999..=1000).contains(&frame.size()), "{frame:?}");
    let Ok(Status(Err(told))) = from_bytes::<Status>(&frame.payload) else { panic!("it can be read") };
    assert!(told.chars().all(|c| c == '\u{e4}') && told.len() >= 958);
}

#[test]
fn what_needs_notices_is_not_agreed_on_without_them() {
    let mut endpoint = open();
    endpoint.agree(Features::all() - Features::NOTICE);
    assert_eq!(endpoint.features(), Features::ERROR_TEXT | Features::PARENT);
    assert!(endpoint.ping().is_none() && endpoint.pong().is_none());
    assert_eq!(endpoint.notice(Tag(0x100), b"".as_slice()).unwrap_err(), Refusal::NoNotices);
    endpoint.agree(Features::all());
    assert_eq!(endpoint.features(), Features::all());
    assert!(endpoint.ping().is_some() && endpoint.pong().is_some());
}

#[test]
fn a_call_that_is_given_up_or_taken_back_is_told_as_it_is() {
    let mut endpoint = open();
    endpoint.agree(Features::all());
    let first = Seq(1);
    assert!(endpoint.cancel(first).is_none(), "somebody waits for it");
    assert_eq!(endpoint.abandon(1), Some(0));
    assert!(endpoint.cancel(Seq::new(1, 9)).is_none(), "another number");
    let word = endpoint.cancel(first).unwrap();
    assert_eq!((word.opcode, word.tag, &*word.payload), (Opcode::Notice, Tag(3), &to_bytes(&1u64)[..]));
    assert_eq!(endpoint.in_flight(), (1, 0), "its number is not free before the answer");
    let late = endpoint.receive(Frame::new(Opcode::Result, first, Tag(0), b"".as_slice())).unwrap();
    assert!(matches!(late, Event::Late));
    assert!(endpoint.cancel(first).is_none(), "it has been answered");

    let second = endpoint.call(Tag(5), b"", None, 7).unwrap().seq;
    assert_eq!(endpoint.retract(Seq::new(second.number(), 3)), None);
    assert_eq!(endpoint.retract(second), Some(7));
    assert_eq!(endpoint.in_flight(), (0, 0));
}

#[test]
fn an_executor_may_insist_on_an_introduction() {
    let mut executor = Endpoint::<usize>::new(Role::Executor, LIMITS);
    executor.expect_setup();
    executor.setup(b"I am");
    let call = Frame::new(Opcode::Call, Seq(1), Tag(1), b"".as_slice());
    assert_eq!(executor.receive(call.clone()).unwrap_err(), ProtocolError::NoSetup { opcode: Opcode::Call });

    let mut executor = Endpoint::<usize>::new(Role::Executor, LIMITS);
    executor.expect_setup();
    executor.setup(b"I am");
    executor.receive(Frame::new(Opcode::Setup, Seq::NONE, Tag(0), b"so am I".as_slice())).unwrap();
    assert!(matches!(executor.receive(call), Ok(Event::Call { .. })));
}
