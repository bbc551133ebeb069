//! Do the layers do what they say, and nothing else?

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use dispatch::frame::{Frame, Opcode, Seq};
use dispatch::layer::Direction;
use dispatch::layer::fault::Fault;
use dispatch::layer::record::{Journal, Record, Replay};
use dispatch::layer::trace::Trace;
use dispatch::transport::{RecvFrame, SendFrame, Transport, channel};
use dispatch::{CallError, Caller, Connect, Limits, Peer, Registry, Setup, Tag, call_typed, conformance};

fn frame(number: u64) -> Frame<'static> {
    Frame::new(Opcode::Call, Seq(number), Tag(1), vec![0; 8])
}

fn adder() -> Arc<Registry> {
    let registry = Registry::new();
    registry.serve(Tag(1), |n: u32| n + 1).unwrap();
    Arc::new(registry)
}

/// A controller over `wrap`ped channel, and its executor.
fn connect<T: Transport>(wrap: impl FnOnce(channel::Channel) -> T) -> (Peer, Peer) {
    let (here, there) = channel::pair();
    let executor = Connect::executor(Setup::default()).handlers(adder()).over(there).unwrap();
    (Connect::controller().over(wrap(here)).unwrap(), executor)
}

#[test]
fn layers_are_transparent() {
    let pair = || {
        let (a, b) = channel::pair();
        Ok((Trace::to_log(Fault::new(Record::new(a, &Journal::new()))), Fault::new(Trace::new(b, |_| {}))))
    };
    conformance::check(pair).unwrap();
    let slow = || {
        let (a, b) = channel::pair();
        Ok((Fault::new(a).delay(Duration::from_micros(50)), b))
    };
    conformance::check(slow).unwrap();
}

#[test]
fn a_trace_tells_each_frame_the_end_and_errors() {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&lines);
    let (a, b) = channel::pair();
    let traced = Trace::new(a, move |event| sink.lock().unwrap().push(event.to_string()));
    assert_eq!(traced.name(), b.name());
    let (mut sender, mut receiver) = traced.split(&Limits { max_frame: 100, ..Limits::default() }).unwrap();
    let (mut theirs, their_receiver) = b.split(&Limits::default()).unwrap();
    theirs.send(Frame::new(Opcode::Result, Seq(2), Tag(0), b"abc".as_slice())).unwrap();
    theirs.send(Frame::new(Opcode::Hangup, Seq::NONE, Tag(0), vec![1; 200])).unwrap();
    receiver.recv().unwrap();
    receiver.recv().unwrap_err();
    assert!(receiver.recv().unwrap().is_none());
    sender.send(frame(7)).unwrap();
    drop(their_receiver);
    sender.send(frame(8)).unwrap_err();
    let expected = [
        "<- Result call-2 3 bytes",
        "<- error: a frame announces 232 bytes, more than the 100 allowed; is this another protocol, or is the limit too low?",
        "<- end",
        "-> Call call-7 tag-0x1 8 bytes",
        "-> Call call-8 tag-0x1 8 bytes",
        "-> error: it is closed",
    ];
    assert_eq!(*lines.lock().unwrap(), expected);
}

#[test]
fn a_cut_line_passes_what_came_before_and_nothing_after() {
    for cut in 0..6 {
        let (a, b) = channel::pair();
        let (mut sender, mut receiver) = Fault::new(a).cut_at(cut).split(&Limits::default()).unwrap();
        let (mut theirs, mut their_receiver) = b.split(&Limits::default()).unwrap();
        // Alternately sent and received.
        for index in 0..6 {
            let passed = if index % 2 == 0 {
                sender.send(frame(index)).is_ok()
            } else {
                // The other side may notice that the line is cut.
                let _ = theirs.send(frame(index));
                matches!(receiver.recv(), Ok(Some(_)))
            };
            assert_eq!(passed, index < cut, "message {index}, cut at {cut}");
        }
        let arrived = std::iter::from_fn(|| their_receiver.recv().unwrap()).count() as u64;
        assert_eq!(arrived, cut.div_ceil(2), "cut at {cut}");
    }
}

#[test]
fn every_changed_byte_ends_in_an_answer_or_an_error_but_never_in_silence() {
    // Message 1 is the answer to the call.
    for offset in 0..36 {
        for mask in [1, 0x80] {
            let (controller, _executor) = connect(|end| Fault::new(end).corrupt(1, offset, mask));
            match controller.call_within(Duration::from_secs(20), Tag(1), &7u32.to_le_bytes()) {
                Ok(reply) => assert!(offset >= 24, "a header changed at {offset}, yet {reply:?}"),
                Err(CallError::Disconnected(_)) => assert!(offset < 32, "the payload may be anything"),
                Err(error) => panic!("offset {offset}: {error}"),
            }
        }
    }
}

#[test]
fn a_truncated_frame_ends_the_connection_with_its_sizes() {
    for size in [0, 31, 32, 35] {
        let (controller, _executor) = connect(|end| Fault::new(end).truncate(1, size));
        let error = controller.call(Tag(1), &7u32.to_le_bytes()).unwrap_err().to_string();
        assert!(error.contains(&format!("came as {size} bytes")), "{error}");
    }
}

#[test]
fn a_delay_delays() {
    let (controller, _executor) = connect(|end| Fault::new(end).delay(Duration::from_millis(10)));
    let start = Instant::now();
    assert_eq!(call_typed::<u32, u32>(&controller, Tag(1), &1), Ok(2));
    assert!(start.elapsed() >= Duration::from_millis(20), "there and back");
}

#[test]
fn a_journal_holds_both_directions_and_survives_its_bytes() {
    let journal = Journal::new();
    let (controller, executor) = connect(|end| Record::new(end, &journal));
    assert_eq!(call_typed::<u32, u32>(&controller, Tag(1), &1), Ok(2));
    drop((controller, executor));
    let entries = journal.entries();
    let told: Vec<_> = entries.iter().map(|entry| (entry.direction, entry.frame.opcode)).collect();
    use Direction::{Received, Sent};
    let expected = [
        (Received, Opcode::Setup),
        (Sent, Opcode::Setup),
        (Sent, Opcode::Call),
        (Received, Opcode::Result),
        (Sent, Opcode::Hangup),
    ];
    assert_eq!(told, expected);

    let bytes = journal.to_bytes();
    assert_eq!(Journal::from_bytes(&bytes).unwrap().entries(), entries);
    assert!(Journal::from_bytes(&bytes[..bytes.len() - 1]).is_err());
    assert!(Journal::from_bytes(b"not at all").is_err());
}

#[test]
fn a_replay_answers_as_then_and_notices_what_is_different() {
    let journal = Journal::new();
    let (controller, executor) = connect(|end| Record::new(end, &journal));
    for n in 0..3u32 {
        assert_eq!(call_typed::<u32, u32>(&controller, Tag(1), &n), Ok(n + 1));
    }
    drop((controller, executor));

    let again = Connect::controller().over(Replay::new(&journal)).unwrap();
    for n in 0..3u32 {
        assert_eq!(call_typed::<u32, u32>(&again, Tag(1), &n), Ok(n + 1));
    }

    let other = Connect::controller().over(Replay::new(&journal)).unwrap();
    assert_eq!(call_typed::<u32, u32>(&other, Tag(1), &0), Ok(1));
    let error = other.call(Tag(2), &[0; 4]).unwrap_err().to_string();
    assert!(error.contains("the journal has Call call-2 tag-0x1 4 bytes (entry 4)"), "{error}");
}

#[test]
fn jitter_follows_from_its_seed_and_a_stall_holds_up_what_is_behind_it() {
    let time = |fault: Fault<channel::Channel>, frames: u64| {
        let (mut sender, _receiver) = fault.split(&Limits::default()).unwrap();
        (0..frames)
            .map(|index| {
                let start = Instant::now();
                sender.send(frame(index)).unwrap();
                start.elapsed()
            })
            .collect::<Vec<_>>()
    };
    let most = Duration::from_millis(8);
    // A busy machine may add to each wait, but hardly to the same one every time.
    let waited = |seed| {
        let rounds: Vec<_> = (0..4).map(|_| time(Fault::new(channel::pair().0).jitter(most, seed), 12)).collect();
        (0..12).filter_map(|index| rounds.iter().map(|round| round[index]).min()).collect::<Vec<_>>()
    };
    let (one, same) = (waited(1), waited(1));
    assert!(one.iter().any(|wait| *wait > most / 2) && one.iter().any(|wait| *wait < most / 2), "{one:?}");
    let alike = one.iter().zip(&same).filter(|(a, b)| a.abs_diff(**b) < most / 4).count();
    assert!(alike >= 8, "{one:?} {same:?}");

    let stalled = time(Fault::new(channel::pair().0).stall_at(2, Duration::from_millis(50)), 4);
    assert!(stalled[2] >= Duration::from_millis(50), "{stalled:?}");
    assert!(stalled[3] < Duration::from_millis(50), "{stalled:?}");
}

#[test]
fn a_silent_line_stands_and_says_nothing() {
    let watch = |connect: Connect| connect.heartbeat(Duration::from_millis(10), Duration::from_millis(100));
    let (here, there) = channel::pair();
    let executor = Connect::executor(Setup::default()).handlers(adder()).over(there).unwrap();
    // Both introductions pass.
    let controller = watch(Connect::controller()).over(Fault::new(here).silent_from(2)).unwrap();
    let error = controller.call(Tag(1), &7u32.to_le_bytes()).unwrap_err().to_string();
    assert!(error.contains("it said nothing for 100ms"), "{error}");
    executor.wait_closed();
}

#[test]
fn half_a_frame_on_the_wire_ends_the_connection_there() {
    let whole = Frame::new(Opcode::Call, Seq(1), Tag(1), vec![7; 100]).to_bytes().len();
    for cut in [1, 31, 32, 33, whole - 1] {
        let (wire, other_end) = std::os::unix::net::UnixStream::pair().unwrap();
        let mut theirs = dispatch::transport::stream::Stream::new(other_end.try_clone().unwrap(), other_end)
            .split(&Limits::default())
            .unwrap();
        let cutting = dispatch::layer::fault::CutWriter::new(wire.try_clone().unwrap(), cut);
        let ours = dispatch::transport::stream::Stream::new(wire, cutting);
        let (mut sender, receiver) = ours.split(&Limits::default()).unwrap();
        sender.send(Frame::new(Opcode::Call, Seq(1), Tag(1), vec![7; 100])).unwrap_err();
        drop((sender, receiver));
        let error = theirs.1.recv().unwrap_err().to_string();
        assert!(error.contains(&format!("came as {cut} bytes")), "{error}");
    }
}
