//! Without threads, sockets or a clock: does every call have one outcome, and do both sides agree on it, whatever happens in whatever
//! order, and wherever the line is cut?
//!
//! Random scripts of calls, nested and at once, answered, given up (which is what a limit of time and a token come to), with notices in
//! between, are played between two endpoints. Messages arrive in any order that the reordering layer allows. Each script is then
//! played again for each of its messages, with the line cut before that message.

use std::collections::HashMap;

use dispatch::frame::{Frame, Seq};
use dispatch::layer::reorder::may_pass;
use dispatch::packed::{from_bytes, to_bytes};
use dispatch::{Endpoint, Event, Features, Limits, Refusal, Reply, Role, Tag};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

/// What became of a call, as its caller sees it.
#[derive(Debug, Clone, PartialEq)]
enum Outcome {
    Waiting,
    Answered(Reply),
    GivenUp,
    /// The connection ended first.
    Failed,
}

/// A call, as both sides see it.
#[derive(Debug)]
struct Call {
    seq: Seq,
    outcome: Outcome,
    /// What the other side answered, if it has.
    answer: Option<Reply>,
    /// The answer has arrived.
    arrived: bool,
}

/// A call that a side serves.
#[derive(Debug, Clone, Copy)]
struct Served {
    seq: Seq,
    /// Its place among the other side's calls, which are their arguments.
    asked: usize,
    begun: bool,
    given_up: bool,
}

struct Side {
    endpoint: Endpoint<usize>,
    calls: Vec<Call>,
    serving: Vec<Served>,
    notices: Vec<u64>,
}

#[derive(Debug, Clone)]
enum Step {
    /// A side calls, on behalf of one of the calls that it serves or of none.
    Call(bool, Option<Index>),
    /// A message to a side arrives: one of those that may be next.
    Deliver(bool, Index),
    /// A side begins to work on a call.
    Begin(bool, Index),
    /// A side answers one of the calls that it serves, perhaps with an error.
    Answer(bool, Index, bool),
    /// A caller's patience or its token ends.
    GiveUp(bool, Index),
    Notice(bool),
}

fn step() -> impl Strategy<Value = Step> {
    let (side, index) = (any::<bool>, any::<Index>);
    prop_oneof![
        4 => (side(), proptest::option::of(index())).prop_map(|(side, parent)| Step::Call(side, parent)),
        6 => (side(), index()).prop_map(|(side, which)| Step::Deliver(side, which)),
        2 => (side(), index()).prop_map(|(side, which)| Step::Begin(side, which)),
        3 => (side(), index(), any::<bool>()).prop_map(|(side, which, ok)| Step::Answer(side, which, ok)),
        2 => (side(), index()).prop_map(|(side, which)| Step::GiveUp(side, which)),
        1 => side().prop_map(Step::Notice),
    ]
}

/// Two endpoints, and the messages between them.
struct World {
    sides: [Side; 2],
    /// To each side.
    mail: [Vec<Frame<'static>>; 2],
    notices: u64,
    /// How many messages may still arrive.
    left: usize,
    delivered: usize,
}

const LIMITS: Limits =
    Limits { max_frame: 4096, max_pending: 8, max_depth: 10, max_held: 20_000, max_setup: 1000, max_notice: 2000 };

impl World {
    fn new(messages: usize) -> Self {
        let side = |role| Side {
            endpoint: Endpoint::new(role, LIMITS),
            calls: Vec::new(),
            serving: Vec::new(),
            notices: Vec::new(),
        };
        let mut world = World {
            sides: [side(Role::Controller), side(Role::Executor)],
            mail: [Vec::new(), Vec::new()],
            notices: 0,
            left: messages,
            delivered: 0,
        };
        let setup = world.sides[1].endpoint.setup(b"I am").into_owned();
        world.receive(0, setup);
        let answer = world.sides[0].endpoint.setup(b"so am I").into_owned();
        world.receive(1, answer);
        world
    }

    /// The line has been cut.
    fn is_cut(&self) -> bool {
        self.left == 0
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Call(side, parent) => self.call(usize::from(*side), parent.as_ref()),
            Step::Deliver(side, which) => self.deliver(usize::from(*side), |count| which.index(count)),
            Step::Begin(side, which) => {
                let serving = &mut self.sides[usize::from(*side)].serving;
                let count = serving.len();
                if count > 0 {
                    serving[which.index(count)].begun = true;
                }
            }
            Step::Answer(side, which, ok) => {
                let index = usize::from(*side);
                if !self.sides[index].serving.is_empty() {
                    let which = which.index(self.sides[index].serving.len());
                    let asked = self.sides[index].serving[which].asked;
                    let reply = if *ok { Reply::packed(&(asked as u64)) } else { Reply::error(format!("not {asked}")) };
                    self.answer(index, which, reply);
                }
            }
            Step::GiveUp(side, which) => {
                let index = usize::from(*side);
                if !self.sides[index].calls.is_empty() {
                    let call = which.index(self.sides[index].calls.len());
                    self.give_up(index, self.sides[index].calls[call].seq);
                }
            }
            Step::Notice(side) => {
                self.notices += 1;
                let frame = self.sides[usize::from(*side)].endpoint.notice(Tag(0x100), to_bytes(&self.notices));
                self.mail[usize::from(!*side)].push(frame.expect("both take notices").into_owned());
            }
        }
        self.check();
    }

    fn call(&mut self, index: usize, parent: Option<&Index>) {
        let side = &mut self.sides[index];
        let open: Vec<Served> = side.serving.iter().filter(|served| !served.given_up).copied().collect();
        let parent = parent.filter(|_| !open.is_empty()).map(|which| which.get(&open).seq);
        if let Some(parent) = side.serving.iter_mut().find(|served| Some(served.seq) == parent) {
            parent.begun = true;
        }
        let waiter = side.calls.len();
        let args = to_bytes(&(waiter as u64));
        let pending = side.endpoint.in_flight().0;
        match side.endpoint.call(Tag(waiter as u64 % 5), &args, parent, waiter) {
            Ok(frame) => {
                let seq = frame.seq;
                assert_eq!(seq.parent(), parent.map_or(0, Seq::number));
                let frame = frame.into_owned();
                side.calls.push(Call { seq, outcome: Outcome::Waiting, answer: None, arrived: false });
                self.mail[1 - index].push(frame);
            }
            Err(refusal) => {
                assert_eq!(refusal, Refusal::TooManyPending { limit: LIMITS.max_pending });
                assert_eq!(pending, LIMITS.max_pending);
            }
        }
    }

    /// `pick` chooses from so many messages that may be next.
    fn deliver(&mut self, to: usize, pick: impl FnOnce(usize) -> usize) {
        let mail = &self.mail[to];
        let free: Vec<usize> = (0..mail.len())
            .filter(|&later| mail[..later].iter().all(|earlier| may_pass(earlier, &mail[later])))
            .collect();
        if free.is_empty() || self.is_cut() {
            return;
        }
        self.left -= 1;
        self.delivered += 1;
        let frame = self.mail[to].remove(free[pick(free.len())]);
        self.receive(to, frame);
    }

    fn receive(&mut self, to: usize, frame: Frame<'static>) {
        let seq = frame.seq;
        match self.sides[to].endpoint.receive(frame).expect("both sides keep to the protocol") {
            Event::Setup(_) => self.sides[to].endpoint.agree(Features::all()),
            Event::Call { seq, tag, args, parent } => {
                let asked: u64 = from_bytes(&args).unwrap();
                assert_eq!(tag, Tag(asked % 5));
                if let Some(parent) = parent {
                    let waiter = *self.sides[to].endpoint.waiter(parent).expect("a parent waits");
                    assert_eq!(self.sides[to].calls[waiter].outcome, Outcome::Waiting);
                }
                let served = Served { seq, asked: asked as usize, begun: false, given_up: false };
                self.sides[to].serving.push(served);
            }
            Event::Answer(waiter, reply) => {
                let call = &mut self.sides[to].calls[waiter];
                assert_eq!(call.seq, seq);
                assert_eq!(call.answer.as_ref(), Some(&reply), "what arrives is what was answered");
                call.arrived = true;
                self.settle(to, waiter, Outcome::Answered(reply));
            }
            Event::Late => {
                // The answer to a call that was given up, or a word of giving up that crossed the answer.
                if let Some(call) = self.sides[to].calls.iter_mut().find(|call| call.seq == seq) {
                    assert_eq!(call.outcome, Outcome::GivenUp);
                    assert!(call.answer.is_some() && !call.arrived);
                    call.arrived = true;
                }
            }
            Event::Cancel(seq) => {
                for nested in self.sides[to].endpoint.nested_in(seq) {
                    self.give_up(to, nested);
                }
                let serving = &mut self.sides[to].serving;
                let place = serving.iter().position(|served| served.seq == seq).expect("it is being served");
                assert!(!serving[place].given_up, "it is told once");
                serving[place].given_up = true;
                if !serving[place].begun {
                    self.answer(to, place, Reply::error("cancelled"));
                }
            }
            Event::Notice { payload, .. } => self.sides[to].notices.push(from_bytes(&payload).unwrap()),
            other => panic!("nobody sent {other:?}"),
        }
    }

    fn answer(&mut self, index: usize, which: usize, reply: Reply) {
        let served = self.sides[index].serving.remove(which);
        let frame = self.sides[index].endpoint.answer(served.seq, &reply).expect("the call waits for it").into_owned();
        assert!(self.sides[index].endpoint.answer(served.seq, &reply).is_none(), "a second answer is not sent");
        self.mail[1 - index].push(frame);
        let answered = self.sides[1 - index].calls[served.asked].answer.replace(reply);
        assert!(answered.is_none(), "answered twice");
    }

    fn give_up(&mut self, index: usize, seq: Seq) {
        let endpoint = &mut self.sides[index].endpoint;
        let Some(&waiter) = endpoint.waiter(seq.number()) else { return };
        if self.sides[index].calls[waiter].seq != seq {
            return;
        }
        assert_eq!(endpoint.cancel(seq), None, "what somebody waits for is not given up");
        assert_eq!(endpoint.abandon(seq.number()), Some(waiter));
        assert_eq!(endpoint.abandon(seq.number()), None);
        let word = endpoint.cancel(seq).expect("the other side wants to know");
        self.mail[1 - index].push(word);
        self.settle(index, waiter, Outcome::GivenUp);
    }

    /// A waiter came back.
    fn settle(&mut self, index: usize, waiter: usize, outcome: Outcome) {
        let call = &mut self.sides[index].calls[waiter];
        assert_eq!(call.outcome, Outcome::Waiting, "waiter {waiter} came back twice");
        call.outcome = outcome;
    }

    /// The endpoints count what the model counts.
    fn check(&self) {
        for side in &self.sides {
            let pending = side.calls.iter().filter(|call| !call.arrived).count();
            assert_eq!(side.endpoint.in_flight(), (pending, side.serving.len()));
        }
    }

    /// Delivers and answers until nothing moves, or the line is cut.
    fn drain(&mut self) {
        while !self.is_cut() && self.sides.iter().any(|side| side.endpoint.in_flight() != (0, 0)) {
            for side in 0..2 {
                while !self.mail[side].is_empty() && !self.is_cut() {
                    self.deliver(side, |_| 0);
                }
                while let Some(last) = self.sides[side].serving.len().checked_sub(1) {
                    let asked = self.sides[side].serving[last].asked as u64;
                    self.answer(side, last, Reply::packed(&asked));
                }
            }
        }
        while self.mail.iter().any(|mail| !mail.is_empty()) && !self.is_cut() {
            (0..2).for_each(|side| self.deliver(side, |_| 0));
        }
    }

    /// Nothing arrives any more.
    fn cut(&mut self) {
        for index in 0..2 {
            let waiters = self.sides[index].endpoint.close();
            assert!(waiters.is_sorted(), "in the order in which they called");
            for waiter in waiters {
                self.settle(index, waiter, Outcome::Failed);
            }
            assert!(self.sides[index].endpoint.close().is_empty(), "nobody is told twice");
            assert_eq!(self.sides[index].endpoint.in_flight(), (0, 0));
            let refused = self.sides[index].endpoint.call(Tag(1), b"", None, 0);
            assert_eq!(refused.unwrap_err(), Refusal::NotOpen);
        }
    }

    /// Whether both sides tell the same story, of a line that was cut or not.
    fn agree(&self, was_cut: bool) {
        let mut told: HashMap<u64, usize> = HashMap::new();
        for side in &self.sides {
            for call in &side.calls {
                match &call.outcome {
                    Outcome::Waiting => panic!("{call:?} still waits"),
                    Outcome::Answered(reply) => assert!(call.arrived && call.answer.as_ref() == Some(reply)),
                    Outcome::Failed => assert!(was_cut && !call.arrived, "{call:?}"),
                    Outcome::GivenUp => assert!(was_cut || call.arrived, "its number must be free again: {call:?}"),
                }
            }
            // In order, each once.
            assert!(side.notices.is_sorted());
            side.notices.iter().for_each(|notice| *told.entry(*notice).or_default() += 1);
        }
        assert!(told.values().all(|times| *times == 1));
        assert!(was_cut || told.len() as u64 == self.notices);
    }
}

/// Plays a script with the line cut before message `cut`; how many messages arrived.
fn play(steps: &[Step], cut: usize) -> usize {
    let mut world = World::new(cut);
    for step in steps {
        if world.is_cut() {
            break;
        }
        world.take(step);
    }
    world.drain();
    let was_cut = world.is_cut();
    if !was_cut {
        let idle = world.sides.iter().all(|side| side.endpoint.in_flight() == (0, 0));
        assert!(idle, "nothing is pending once all has arrived");
    }
    world.cut();
    world.agree(was_cut);
    world.delivered
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn every_call_has_one_outcome_wherever_the_line_is_cut(steps in vec(step(), 0..120)) {
        let messages = play(&steps, usize::MAX);
        for cut in 0..=messages {
            prop_assert_eq!(play(&steps, cut), cut);
        }
    }
}
