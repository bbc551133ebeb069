//! Is silence noticed where it means something, and only there?

mod common;

use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use common::{Pair, connect, connect_over, controller_by_hand, executor_by_hand, socket};
use dispatch::dispatcher::Inline;
use dispatch::frame::{Opcode, Seq};
use dispatch::{CallError, Caller, Connect, Features, Reply, Tag, call_typed};

const ECHO: Tag = Tag(1);
const BLOCK: Tag = Tag(2);
const EVERY: Duration = Duration::from_millis(20);
const PATIENCE: Duration = Duration::from_millis(300);

#[test]
fn a_silent_side_is_left_in_time_and_everyone_hears_why() {
    let (peer, mut hand) = controller_by_hand(|connect| connect.heartbeat(EVERY, PATIENCE), Features::all());
    let caller = peer.clone();
    let start = Instant::now();
    let call = thread::spawn(move || caller.call(ECHO, b""));
    assert_eq!(peer.wait_closed().reason, "it said nothing for 300ms");
    assert!((250..10_000).contains(&start.elapsed().as_millis()), "{:?}", start.elapsed());
    assert!(matches!(call.join().unwrap(), Err(CallError::Disconnected(_))));
    let mut pings = 0;
    while let Some(frame) = hand.recv() {
        pings += usize::from(frame.opcode == Opcode::Notice && frame.tag == Tag(1));
    }
    assert!((3..=16).contains(&pings), "{pings} pings in 300 ms, one every 20 ms at most");
}

#[test]
fn any_frame_is_a_sign_of_life() {
    let (peer, mut hand) = controller_by_hand(|connect| connect.heartbeat(EVERY, PATIENCE), Features::all());
    let start = Instant::now();
    while start.elapsed() < 3 * PATIENCE {
        // Notices of its own; no ping is ever answered.
        hand.send(Opcode::Notice, Seq::NONE, Tag(0x100), b"");
        thread::sleep(PATIENCE / 10);
    }
    assert!(peer.closed().is_none());
    drop(hand);
    // Noticed in reading, or by a ping that cannot be sent.
    let closed = peer.wait_closed();
    let gone = ["it closed the connection without a word", "sending failed: it is closed"];
    assert!(gone.contains(&&*closed.reason), "{closed}");
}

#[test]
fn a_side_whose_handlers_are_busy_still_answers() {
    // The executor's only server thread runs the handler itself; or one worker does; or nobody serves but a caller that waits.
    let builds: [fn(Connect) -> Connect; 2] = [|connect| connect, |connect| connect.dispatcher(Inline)];
    for (index, build) in builds.into_iter().enumerate() {
        let (go, wait) = mpsc::channel::<()>();
        let wait = Arc::new(Mutex::new(wait));
        let watched = |connect| build(connect).heartbeat(EVERY, PATIENCE);
        let Pair { controller, executor } = connect(watched, |registry, _| {
            let wait = Arc::clone(&wait);
            registry.serve(BLOCK, move |(): ()| wait.lock().unwrap().recv().is_ok()).unwrap();
        });
        let caller = controller.clone();
        let call = thread::spawn(move || call_typed::<(), bool>(&caller, BLOCK, &()));
        thread::sleep(3 * PATIENCE);
        assert!(controller.closed().is_none() && executor.closed().is_none(), "way {index}");
        go.send(()).unwrap();
        assert_eq!(call.join().unwrap(), Ok(true));
    }
}

#[test]
fn a_side_that_does_not_know_heartbeats_may_be_silent() {
    for features in [Features::empty(), Features::all() - Features::HEARTBEAT, Features::HEARTBEAT] {
        let (peer, hand) = controller_by_hand(|connect| connect.heartbeat(EVERY, EVERY), features);
        thread::sleep(Duration::from_millis(100));
        assert!(peer.closed().is_none());
        drop((peer, hand));
    }
}

#[test]
fn an_executor_watches_its_controller_once_it_has_introduced_itself() {
    let (executor, mut hand) = executor_by_hand(|connect| connect.background(0).heartbeat(EVERY, PATIENCE));
    thread::sleep(2 * PATIENCE);
    assert!(executor.closed().is_none());
    hand.introduce(Features::all());
    let ping = hand.recv().unwrap();
    assert_eq!((ping.opcode, ping.tag), (Opcode::Notice, Tag(1)));
    hand.send(Opcode::Notice, Seq::NONE, Tag(1), b"");
    let answer = std::iter::from_fn(|| hand.recv()).find(|frame| frame.tag == Tag(2)).unwrap();
    assert!(answer.payload.is_empty());
    assert_eq!(executor.wait_closed().reason, "it said nothing for 300ms");
}

#[test]
fn a_large_frame_on_its_way_is_no_silence_of_the_other_side() {
    // The executor reads slowly: four MiB take longer than the patience, and no answer can come meanwhile.
    struct Slow(UnixStream);
    impl std::io::Read for Slow {
        fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
            if bytes.len() > 8192 {
                thread::sleep(Duration::from_millis(5));
            }
            let most = bytes.len().min(32 << 10);
            self.0.read(&mut bytes[..most])
        }
    }
    let (ours, theirs) = UnixStream::pair().unwrap();
    let slow = dispatch::transport::stream::Stream::new(Slow(theirs.try_clone().unwrap()), theirs);
    let Pair { controller, executor: _executor } = connect_over(
        socket(ours).unwrap(),
        slow,
        |connect| connect.heartbeat(EVERY, PATIENCE),
        |connect| connect,
        |registry, _| registry.add(ECHO, |args: &[u8]| Reply::packed(&(args.len() as u64))).unwrap(),
    );
    let start = Instant::now();
    let reply = controller.call(ECHO, &vec![1; 4 << 20]);
    assert!(start.elapsed() > PATIENCE, "too fast to show anything: {:?}", start.elapsed());
    assert!(reply.is_ok(), "{reply:?}");
}

#[test]
fn a_side_that_does_not_read_is_silent_even_while_something_is_sent_to_it() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let mut hand = common::Hand::new(socket(theirs).unwrap());
    hand.introduce(Features::all());
    let peer = Connect::controller().heartbeat(EVERY, PATIENCE).over(socket(ours).unwrap()).unwrap();
    let start = Instant::now();
    // Blocks in sending, for nobody reads.
    let error = peer.call(ECHO, &vec![0; 1 << 20]).unwrap_err();
    assert!(error.to_string().contains("it said nothing for 300ms"), "{error}");
    assert!(start.elapsed() < Duration::from_secs(15), "{:?}", start.elapsed());
    drop(hand);
}

#[test]
fn an_executor_that_expects_a_controller_does_not_wait_for_ever() {
    let (executor, _hand) = executor_by_hand(|connect| connect.expect_setup(Duration::from_millis(100)));
    let start = Instant::now();
    assert_eq!(executor.wait_closed().reason, "it did not introduce itself within 100ms");
    assert!((90..10_000).contains(&start.elapsed().as_millis()));

    let (executor, mut hand) = executor_by_hand(|connect| connect.expect_setup(Duration::from_millis(800)));
    hand.introduce(Features::all());
    thread::sleep(Duration::from_millis(1000));
    assert!(executor.closed().is_none());
    drop(hand);
}

#[test]
fn nothing_runs_before_the_controller_has_introduced_itself() {
    let registry = Arc::new(dispatch::Registry::new());
    registry.serve(ECHO, |(): ()| -> () { panic!("a stranger's call") }).unwrap();
    let expecting = |connect: Connect| connect.handlers(registry).expect_setup(Duration::from_secs(20));
    let (executor, mut hand) = executor_by_hand(expecting);
    hand.send(Opcode::Call, Seq(1), ECHO, b"");
    assert_eq!(executor.wait_closed().reason, "it began with Call instead of Setup");
    assert!(hand.recv().is_none(), "a stranger gets no answer");
}
