//! What a transport does when nobody receives: its buffers are full, and senders block.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use super::{During, Outcome, expect, halves, joined, sample};
use crate::frame::{Frame, Limits, Opcode};
use crate::transport::{RecvFrame, SendFrame, Transport};

/// Larger than what a socket holds by default.
const LARGE: usize = 4 << 20;
/// Together more than what a socket can be made to hold.
const FRAMES: u64 = 6;

/// A call: other kinds of frames have lower limits.
fn large(index: u64) -> Frame<'static> {
    Frame { opcode: Opcode::Call, ..sample(index, LARGE) }
}

/// Sends large frames until all are sent or one fails, and counts them.
fn send_large<S: SendFrame>(mut sender: S, sent: &AtomicUsize) -> (S, Outcome) {
    for index in 0..FRAMES {
        if let Err(error) = sender.send(large(index)) {
            return (sender, Err(format!("sending frame {index}: {error}")));
        }
        sent.fetch_add(1, Ordering::SeqCst);
    }
    (sender, Ok(()))
}

/// Waits until no more is sent: everything is full, or everything was sent.
fn settle(sent: &[&AtomicUsize]) {
    let count = || sent.iter().map(|sent| sent.load(Ordering::SeqCst)).sum::<usize>();
    let (mut last, mut still) = (count(), 0);
    while still < 3 && last < sent.len() * FRAMES as usize {
        thread::sleep(Duration::from_millis(20));
        let now = count();
        still = if now == last { still + 1 } else { 0 };
        last = now;
    }
}

/// A reader that waits for its peer's writer, which waits for a reader that waits for its peer's writer: nobody may build that.
pub(super) fn one_way_while_the_other_is_full<A: Transport, B: Transport>(
    pair: &impl Fn() -> io::Result<(A, B)>,
) -> Outcome {
    let ((a_tx, mut a_rx), (b_tx, mut b_rx)) = halves(pair, &Limits::default())?;
    let counts = [Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0))];
    let (from_a, from_b) = (Arc::clone(&counts[0]), Arc::clone(&counts[1]));
    let a_sending = thread::spawn(move || send_large(a_tx, &from_a));
    let b_sending = thread::spawn(move || send_large(b_tx, &from_b));
    settle(&[&counts[0], &counts[1]]);
    // First all of one direction, while nobody receives the other.
    expect_large(&mut b_rx)?;
    expect_large(&mut a_rx)?;
    // The senders stay until both directions have been heard: closing one may close both.
    let (a_tx, a_sent) = a_sending.join().map_err(|_| "a thread panicked".to_owned())?;
    let (b_tx, b_sent) = b_sending.join().map_err(|_| "a thread panicked".to_owned())?;
    drop((a_tx, b_tx));
    a_sent.and(b_sent)
}

fn expect_large(receiver: &mut impl RecvFrame) -> Outcome {
    for index in 0..FRAMES {
        let got = receiver.recv().during(&format!("receiving frame {index}"))?;
        expect(got == Some(large(index)), || format!("frame {index} became {got:?}"))?;
    }
    Ok(())
}

pub(super) fn closer_wakes_sender<A: Transport, B: Transport>(pair: &impl Fn() -> io::Result<(A, B)>) -> Outcome {
    for told_by_the_other in [false, true] {
        let (a, b) = pair().during("making a pair")?;
        let (Some(closer), other) = (a.closer(), b.closer()) else { return Ok(()) };
        let (a_tx, mut a_rx) = a.split(&Limits::default()).during("splitting")?;
        let (_b_tx, _b_rx) = b.split(&Limits::default()).during("splitting")?;
        let sent = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&sent);
        let sending = thread::spawn(move || {
            // Sent or not: it must return.
            let _ = send_large(a_tx, &counter);
            Ok(())
        });
        settle(&[&sent]);
        if told_by_the_other && let Some(other) = other {
            // TCP's sender may go on waiting for a receiver that does not receive any more; its own receiver is what hears of it.
            other.close();
            expect(!matches!(a_rx.recv(), Ok(Some(_))), || "a frame came when the connection was closed".to_owned())?;
        }
        closer.close();
        joined(sending)?;
    }
    Ok(())
}
