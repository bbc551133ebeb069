//! Does a transport carry calls? One line says so:
//!
//! ```
//! # use dispatch::transport::channel;
//! # fn my_pair() -> (channel::Channel, channel::Channel) { channel::pair() }
//! dispatch::conformance::check(|| Ok(my_pair()))?;
//! # Ok::<(), dispatch::conformance::Failure>(())
//! ```
//!
//! You give a function that makes a fresh connected pair; the suite asks of it what a [`Peer`] relies on, first of the bare frames, then
//! of whole sessions. A check that takes longer than [`PATIENCE`] counts as hanging. A transport that makes frames of bytes has a second
//! suite, [`check_bytes`], for bytes that no frame is made of. Neither asks about speed, nor about strangers: how a transport
//! authenticates is its own business.

use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use crate::call::{Caller, Reply, Tag, call_typed};
use crate::connect::{Connect, Setup};
use crate::dispatcher::Inline;
use crate::error::CallError;
use crate::frame::{Frame, Limits, Opcode, Seq};
use crate::layer::fault::Fault;
use crate::peer::Peer;
use crate::registry::Registry;
use crate::transport::{RecvFrame, SendFrame, Transport};

mod bytes;
mod pressure;

pub use bytes::check_bytes;

/// How long a check may take before it counts as hanging.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// What a transport did wrong.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[error("the transport fails the check \"{check}\": {what}")]
pub struct Failure {
    /// The question that was asked.
    pub check: &'static str,
    /// What happened instead.
    pub what: String,
}

/// `unwrap` in a test shows the sentence.
impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

type Outcome = Result<(), String>;
/// The question, and who asks it of a maker of pairs.
type Check<F> = (&'static str, fn(&F) -> Outcome);

/// Runs every check on transports that `pair` makes.
///
/// # Errors
/// The first check that fails. The thread of one that hangs is left behind.
pub fn check<A, B, F>(pair: F) -> Result<(), Failure>
where
    A: Transport + Send + 'static,
    B: Transport + Send + 'static,
    F: Fn() -> io::Result<(A, B)> + Send + Sync + 'static,
{
    let checks: [Check<F>; 12] = [
        ("frames arrive whole, in order, unchanged", frames_arrive),
        ("both directions carry at once", both_directions_at_once),
        ("a direction carries while the other is full", pressure::one_way_while_the_other_is_full),
        ("a dropped sender is an end after the last frame", end_after_last_frame),
        ("a vanished side is an end, not a hang", vanished_side),
        ("a frame over the limit is refused", over_the_limit),
        ("the closer wakes a blocked receiver", closer_wakes),
        ("the closer wakes a blocked sender", pressure::closer_wakes_sender),
        ("calls and answers match, many at once, both ways", many_calls),
        ("nested calls return to the thread that waits", nested_calls),
        ("a hangup reaches every waiting call", hangup_reaches_all),
        ("a cut at any message fails what waits, once", cut_anywhere),
    ];
    run(pair, &checks)
}

/// Asks each question on a thread of its own.
fn run<F: Send + Sync + 'static>(pair: F, checks: &[Check<F>]) -> Result<(), Failure> {
    let pair = Arc::new(pair);
    for &(check, run) in checks {
        let pair = Arc::clone(&pair);
        let (report, reported) = channel();
        let fail = |what: String| Failure { check, what };
        thread::Builder::new()
            .name("conformance".to_owned())
            .stack_size(8 << 20)
            .spawn(move || {
                let outcome = catch_unwind(AssertUnwindSafe(|| run(&pair)));
                let _ = report.send(outcome.unwrap_or_else(|_| Err("it panicked".to_owned())));
            })
            .map_err(|error| fail(format!("no thread to run it: {error}")))?;
        match reported.recv_timeout(PATIENCE) {
            Ok(outcome) => outcome.map_err(fail)?,
            Err(RecvTimeoutError::Timeout) => return Err(fail(format!("it hangs ({PATIENCE:?})"))),
            Err(RecvTimeoutError::Disconnected) => return Err(fail("its thread died".to_owned())),
        }
    }
    Ok(())
}

/// `?` on anything that can be printed, with what was being done.
trait During<T> {
    fn during(self, what: &str) -> Result<T, String>;
}

impl<T, E: fmt::Display> During<T> for Result<T, E> {
    fn during(self, what: &str) -> Result<T, String> {
        self.map_err(|error| format!("{what}: {error}"))
    }
}

fn expect(truth: bool, otherwise: impl FnOnce() -> String) -> Outcome {
    if truth { Ok(()) } else { Err(otherwise()) }
}

type Halves<T> = (<T as Transport>::Sender, <T as Transport>::Receiver);

fn halves<A: Transport, B: Transport>(
    pair: &impl Fn() -> io::Result<(A, B)>,
    limits: &Limits,
) -> Result<(Halves<A>, Halves<B>), String> {
    let (a, b) = pair().during("making a pair")?;
    Ok((a.split(limits).during("splitting")?, b.split(limits).during("splitting")?))
}

/// Bytes that show a shift, a loss, or a mixture.
fn pattern(size: usize, seed: u64) -> Vec<u8> {
    (0..size as u64).map(|i| (i.wrapping_mul(31) ^ (i >> 8) ^ seed.wrapping_mul(97)) as u8).collect()
}

fn sample(index: u64, size: usize) -> Frame<'static> {
    let opcodes = [Opcode::Setup, Opcode::Hangup, Opcode::Result, Opcode::Call, Opcode::Notice];
    let numbers = [0, 1, u64::MAX, 1 << 63, 0x0123_4567_89ab_cdef];
    let number = numbers[index as usize / 3 % numbers.len()] ^ index;
    Frame::new(opcodes[index as usize % opcodes.len()], Seq(number), Tag(!number), pattern(size, index))
}

const SIZES: [usize; 16] =
    [0, 1, 7, 8, 9, 31, 32, 33, 4063, 4064, 4065, 16_384, 65_535, 65_536, 1 << 20, (3 << 20) + 5];

fn expect_samples(receiver: &mut impl RecvFrame, rounds: u64) -> Outcome {
    for index in 0..rounds * SIZES.len() as u64 {
        let expected = sample(index, SIZES[index as usize % SIZES.len()]);
        let got = receiver.recv().during(&format!("receiving frame {index}"))?;
        let got = got.ok_or_else(|| format!("the end came instead of frame {index}"))?;
        expect(got == expected, || format!("frame {index} should be {expected:?} but is {got:?}"))?;
    }
    Ok(())
}

fn send_samples(sender: &mut impl SendFrame, rounds: u64) -> Outcome {
    for index in 0..rounds * SIZES.len() as u64 {
        let frame = sample(index, SIZES[index as usize % SIZES.len()]);
        sender.send(frame).during(&format!("sending frame {index}"))?;
    }
    Ok(())
}

fn joined(handle: thread::JoinHandle<Outcome>) -> Outcome {
    handle.join().unwrap_or_else(|_| Err("a thread panicked".to_owned()))
}

fn frames_arrive<A: Transport, B: Transport>(pair: &impl Fn() -> io::Result<(A, B)>) -> Outcome {
    let ((mut a_tx, _a_rx), (_b_tx, mut b_rx)) = halves(pair, &Limits::default())?;
    let sending = thread::spawn(move || {
        let sent = send_samples(&mut a_tx, 3);
        sent.map(|()| drop(a_tx))
    });
    expect_samples(&mut b_rx, 3)?;
    joined(sending)
}

fn both_directions_at_once<A: Transport, B: Transport>(pair: &impl Fn() -> io::Result<(A, B)>) -> Outcome {
    let ((mut a_tx, mut a_rx), (mut b_tx, mut b_rx)) = halves(pair, &Limits::default())?;
    // The senders stay until both directions have been heard: closing one may close both.
    let senders = [
        thread::spawn(move || send_samples(&mut a_tx, 2).map(|()| Box::new(a_tx) as Box<dyn SendFrame>)),
        thread::spawn(move || send_samples(&mut b_tx, 2).map(|()| Box::new(b_tx) as Box<dyn SendFrame>)),
    ];
    let receivers =
        [thread::spawn(move || expect_samples(&mut a_rx, 2)), thread::spawn(move || expect_samples(&mut b_rx, 2))];
    receivers.into_iter().try_for_each(joined)?;
    for sender in senders {
        drop(sender.join().map_err(|_| "a thread panicked".to_owned())??);
    }
    Ok(())
}

fn end_after_last_frame<A: Transport, B: Transport>(pair: &impl Fn() -> io::Result<(A, B)>) -> Outcome {
    let ((mut a_tx, _a_rx), (_b_tx, mut b_rx)) = halves(pair, &Limits::default())?;
    for index in 0..3 {
        a_tx.send(sample(index, 100)).during("sending")?;
    }
    drop(a_tx);
    for index in 0..3 {
        let frame = b_rx.recv().during("receiving what was sent before the end")?;
        expect(frame == Some(sample(index, 100)), || format!("frame {index} was lost at the end"))?;
    }
    for time in ["first", "second"] {
        let end = b_rx.recv().during("receiving the end")?;
        expect(end.is_none(), || format!("a frame came behind the end, the {time} time"))?;
    }
    Ok(())
}

fn vanished_side<A: Transport, B: Transport>(pair: &impl Fn() -> io::Result<(A, B)>) -> Outcome {
    let (a_halves, (mut b_tx, mut b_rx)) = halves(pair, &Limits::default())?;
    drop(a_halves);
    // An error is as good as an end; a frame would be a ghost.
    if let Ok(Some(frame)) = b_rx.recv() {
        return Err(format!("{frame:?} came from a side that sent nothing"));
    }
    // Sending into the void fails sooner or later or is ignored, but returns.
    for index in 0..8 {
        if b_tx.send(sample(index, 1 << 16)).is_err() {
            break;
        }
    }
    Ok(())
}

fn over_the_limit<A: Transport, B: Transport>(pair: &impl Fn() -> io::Result<(A, B)>) -> Outcome {
    let limits = Limits { max_frame: 1000, ..Limits::default() };
    let ((mut a_tx, _a_rx), (_b_tx, mut b_rx)) = halves(pair, &limits)?;
    let fits = sample(0, 1000 - crate::frame::HEADER_SIZE);
    a_tx.send(fits.clone()).during("sending a frame of exactly the limit")?;
    let got = b_rx.recv().during("receiving a frame of exactly the limit")?;
    expect(got == Some(fits), || "a frame of exactly the limit must arrive".to_owned())?;
    // The sender may refuse it, too.
    if a_tx.send(sample(1, 2000)).is_ok()
        && let Ok(Some(frame)) = b_rx.recv()
    {
        return Err(format!("{frame:?} came through a limit of 1000 bytes; use `Limits::max_frame`"));
    }
    Ok(())
}

fn closer_wakes<A: Transport, B: Transport>(pair: &impl Fn() -> io::Result<(A, B)>) -> Outcome {
    let (a, b) = pair().during("making a pair")?;
    let Some(closer) = a.closer() else { return Ok(()) };
    let (_a_tx, mut a_rx) = a.split(&Limits::default()).during("splitting")?;
    let (_b_tx, mut b_rx) = b.split(&Limits::default()).during("splitting")?;
    let blocked = thread::spawn(move || match a_rx.recv() {
        Ok(Some(frame)) => Err(format!("{frame:?} came when the connection was closed")),
        Ok(None) | Err(_) => Ok(()),
    });
    // Give it time to block; if it is late, the check is only easier.
    thread::sleep(Duration::from_millis(20));
    closer.close();
    closer.close();
    joined(blocked)?;
    expect(!matches!(b_rx.recv(), Ok(Some(_))), || "the other side got a frame".to_owned())
}

// ---- sessions ----

const ECHO: Tag = Tag(1);
/// `n`: answers n after calling COUNT on the other side with n - 1, which does the same, down to 0.
const COUNT: Tag = Tag(2);
const BLOCK: Tag = Tag(3);

/// The handlers of one side; `other` is filled in when connected.
fn services(other: &Arc<std::sync::OnceLock<crate::peer::WeakPeer>>) -> Arc<Registry> {
    let registry = Registry::new();
    let (count_on, block_on) = (Arc::clone(other), Arc::clone(other));
    let added = [
        registry.add(ECHO, |args: &[u8]| Reply::copy_from(args)),
        registry.serve(COUNT, move |n: u32| -> Result<u32, String> {
            let Some(deeper) = n.checked_sub(1) else { return Ok(0) };
            let other = count_on.wait();
            let answer = call_typed::<u32, Result<u32, String>>(other, COUNT, &deeper);
            answer.during("nested call")?.map(|depth| depth + 1)
        }),
        registry.serve(BLOCK, move |(): ()| {
            // Until the connection is over.
            block_on.wait().upgrade().map(|peer| peer.wait_closed().reason.clone())
        }),
    ];
    debug_assert!(added.iter().all(Result::is_ok), "the tags differ");
    Arc::new(registry)
}

fn session<A: Transport, B: Transport + Send + 'static>(
    here: A,
    there: B,
    inline: bool,
) -> Result<(Peer, Peer), String> {
    let others = [Arc::default(), Arc::default()];
    let build = |connect: Connect, other| {
        let connect = connect.handlers(services(other)).setup_timeout(PATIENCE / 2);
        if inline { connect.dispatcher(Inline) } else { connect }
    };
    let executor = build(Connect::executor(Setup::default()), &others[1]);
    let controller = build(Connect::controller(), &others[0]);
    let executor = thread::spawn(move || executor.over(there));
    let controller = controller.over(here).during("connecting the controller")?;
    let executor = executor.join().map_err(|_| "connecting the executor panicked".to_owned())?;
    let executor = executor.during("connecting the executor")?;
    for (other, peer) in others.iter().zip([&controller, &executor]) {
        let _ = other.set(peer.downgrade());
    }
    Ok((controller, executor))
}

fn many_calls<A, B>(pair: &impl Fn() -> io::Result<(A, B)>) -> Outcome
where
    A: Transport,
    B: Transport + Send + 'static,
{
    let (a, b) = pair().during("making a pair")?;
    let (controller, executor) = session(a, b, false)?;
    let callers: Vec<_> = (0..8u64)
        .map(|thread| {
            let peer = if thread % 2 == 0 { controller.clone() } else { executor.clone() };
            thread::spawn(move || {
                for call in 0..50u64 {
                    let size = [0, 5, 8, 9, 100, 5000, 100_000][(thread + call) as usize % 7];
                    let args = pattern(size, thread * 1000 + call);
                    let reply = peer.call(ECHO, &args).during("calling")?;
                    expect(reply.bytes() == Ok(&args), || {
                        format!("call {call} of thread {thread} got the answer of another")
                    })?;
                }
                Ok(())
            })
        })
        .collect();
    callers.into_iter().try_for_each(joined)?;
    let unknown = controller.call(Tag(99), &[]).during("calling an unknown tag")?;
    expect(unknown.as_error().is_some_and(|text| text.contains("tag-0x63")), || {
        format!("an unknown tag should be an error that names it, not {unknown:?}")
    })
}

fn nested_calls<A, B>(pair: &impl Fn() -> io::Result<(A, B)>) -> Outcome
where
    A: Transport,
    B: Transport + Send + 'static,
{
    for inline in [false, true] {
        let (a, b) = pair().during("making a pair")?;
        let (controller, executor) = session(a, b, inline)?;
        for (peer, depth) in [(&controller, 1), (&executor, 2), (&controller, 40)] {
            let answer = call_typed::<u32, Result<u32, String>>(peer, COUNT, &depth);
            let answer = answer.during("calling")??;
            expect(answer == depth, || format!("{depth} nested calls answered {answer}"))?;
        }
    }
    Ok(())
}

fn hangup_reaches_all<A, B>(pair: &impl Fn() -> io::Result<(A, B)>) -> Outcome
where
    A: Transport,
    B: Transport + Send + 'static,
{
    let (a, b) = pair().during("making a pair")?;
    let (controller, executor) = session(a, b, false)?;
    let callers: Vec<_> = [&controller, &executor, &controller, &executor]
        .into_iter()
        .cloned()
        .map(|peer| {
            thread::spawn(move || match peer.call(BLOCK, &[]) {
                Err(CallError::Disconnected(_)) => Ok(()),
                other => Err(format!("a call that waits at the hangup got {other:?}")),
            })
        })
        .collect();
    thread::sleep(Duration::from_millis(20));
    executor.hang_up(Err("enough for today".to_owned()));
    let heard = controller.wait_closed();
    callers.into_iter().try_for_each(joined)?;
    expect(heard.reason.contains("enough for today"), || {
        format!("the reason of the hangup was lost; it is \"{}\"", heard.reason)
    })
}

fn cut_anywhere<A, B>(pair: &impl Fn() -> io::Result<(A, B)>) -> Outcome
where
    A: Transport,
    B: Transport + Send + 'static,
{
    // Setup both ways, then three calls of two nested ones: 20 messages. Cut at each, and once behind them all.
    for index in 0..=20 {
        let (a, b) = pair().during("making a pair")?;
        // What was sent may be on its way for ever once the line is cut: a dead line answers nobody.
        let Ok((controller, executor)) = session(Fault::new(a).cut_at(index), b, false) else {
            expect(index < 2, || format!("cut at message {index}, yet no connection"))?;
            continue;
        };
        let mut failed = false;
        for call in 0..3 {
            match call_typed::<u32, Result<u32, String>>(&controller, COUNT, &2) {
                Ok(Ok(2)) if !failed => {}
                // A nested call may be the one that failed; its handler's answer cannot arrive any more.
                Err(CallError::Disconnected(_)) => failed = true,
                other => return Err(format!("cut at {index}: call {call} got {other:?}")),
            }
        }
        if failed {
            executor.wait_closed();
        }
        expect(failed == (index < 20), || format!("cut at {index}: {failed}"))?;
    }
    Ok(())
}
