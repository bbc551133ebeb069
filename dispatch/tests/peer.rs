//! Do calls find their handlers, threads and answers?

mod common;

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex, mpsc};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use common::{Other, Pair, connect, eventually, socket};
use dispatch::dispatcher::{Dispatcher, Inline, Job, Pool, Queue};
use dispatch::frame::{Frame, Opcode, Seq};
use dispatch::packed::to_bytes;
use dispatch::transport::channel;
use dispatch::transport::stream::Stream;
use dispatch::transport::{RecvFrame, SendFrame, Transport};
use dispatch::{CallError, Caller, Connect, Features, Limits, Peer, Registry, Reply, Setup, Tag, call_typed};

const ECHO: Tag = Tag(1);
const NEST: Tag = Tag(2);
const BLOCK: Tag = Tag(3);

#[test]
fn a_call_over_the_channel_copies_its_arguments_once() {
    static SEEN: Mutex<Vec<usize>> = Mutex::new(Vec::new());
    /// Notes where the payload of a received frame lies.
    struct Noting<R>(R);
    impl<R: RecvFrame> RecvFrame for Noting<R> {
        fn recv(&mut self) -> Result<Option<Frame<'static>>, dispatch::transport::TransportError> {
            let frame = self.0.recv()?;
            if let Some(frame) = &frame
                && frame.opcode == Opcode::Call
            {
                SEEN.lock().unwrap().push(frame.payload.as_ptr() as usize);
            }
            Ok(frame)
        }
    }
    let (here, there) = channel::pair();
    let registry = Arc::new(Registry::new());
    registry
        .add(ECHO, |args: &[u8]| {
            SEEN.lock().unwrap().push(args.as_ptr() as usize);
            Reply::empty()
        })
        .unwrap();
    let (sender, receiver) = there.split(&Limits::default()).unwrap();
    let _executor = Connect::executor(Setup::default()).handlers(registry).over((sender, Noting(receiver))).unwrap();
    let controller = Connect::controller().over(here).unwrap();
    let args = vec![7; 100_000];
    controller.call(ECHO, &args).unwrap();
    let seen = SEEN.lock().unwrap().clone();
    assert_eq!(seen.len(), 2);
    assert_eq!(seen[0], seen[1], "what was received is what the handler borrows");
    assert_ne!(seen[0], args.as_ptr() as usize);
}

#[test]
fn the_two_sides_learn_of_each_other() {
    let Pair { controller, executor } = connect(|connect| connect, |_, _| {});
    assert_eq!(controller.setup().map(|setup| &*setup.triple), Some("x"));
    assert_eq!(controller.features(), Features::all());
    assert!(executor.setup().is_none());
    eventually("the executor hears what was agreed", || executor.features() == Features::all());
    assert_eq!(controller.name(), "the other end of the channel");
}

/// Calls NEST on the other side with one less, and notes the thread.
fn nest(registry: &Registry, other: Other, threads: &Arc<Mutex<Vec<ThreadId>>>) {
    let threads = Arc::clone(threads);
    registry
        .serve(NEST, move |depth: u32| -> u32 {
            threads.lock().unwrap().push(thread::current().id());
            match depth.checked_sub(1) {
                Some(deeper) => call_typed::<u32, u32>(other.wait(), NEST, &deeper).unwrap() + 1,
                None => 0,
            }
        })
        .unwrap();
}

#[test]
fn nested_calls_run_on_the_thread_that_waits() {
    let threads = Arc::default();
    let Pair { controller, executor } = connect(|connect| connect, |registry, other| nest(registry, other, &threads));
    eventually("the executor hears what was agreed", || executor.features() == Features::all());
    for round in 0..20 {
        threads.lock().unwrap().clear();
        assert_eq!(call_typed::<u32, u32>(&controller, NEST, &9), Ok(9));
        let threads = threads.lock().unwrap();
        // Down, up, down, up ...: the executor's handlers share one thread, ours are this one.
        let (down, up): (Vec<_>, Vec<_>) = threads.iter().enumerate().partition(|(index, _)| index % 2 == 0);
        assert!(up.iter().all(|(_, id)| **id == thread::current().id()), "round {round}");
        assert!(down.iter().all(|(_, id)| **id == threads[0] && **id != thread::current().id()), "round {round}");
    }
}

#[test]
fn nesting_reaches_its_limit_as_an_error_and_no_further() {
    for (limit, depth, fits) in [(1000, 1500, true), (20, 38, true), (20, 45, false)] {
        let limits = Limits { max_depth: limit, ..Limits::default() };
        let serve = |registry: &Registry, other: Other| {
            registry
                .serve(NEST, move |depth: u32| -> Result<u32, String> {
                    let Some(deeper) = depth.checked_sub(1) else { return Ok(0) };
                    call_typed::<u32, Result<u32, String>>(other.wait(), NEST, &deeper)
                        .map_err(|error| error.to_string())?
                        .map(|depth| depth + 1)
                })
                .unwrap();
        };
        let work = move || {
            let Pair { controller, executor } = connect(|connect| connect.limits(limits), serve);
            eventually("the executor hears what was agreed", || executor.features() == Features::all());
            let answer = call_typed::<u32, Result<u32, String>>(&controller, NEST, &depth).unwrap();
            match answer {
                Ok(reached) => assert!(fits && reached == depth),
                Err(text) => assert!(!fits && text.contains("nested more than 20 deep"), "{text}"),
            }
            assert_eq!(call_typed::<u32, Result<u32, String>>(&controller, NEST, &2), Ok(Ok(2)), "it goes on");
        };
        thread::Builder::new().stack_size(16 << 20).spawn(work).unwrap().join().unwrap();
    }
}

#[test]
fn one_thread_on_each_side_is_enough() {
    // No server threads, no pool: whoever waits reads and serves.
    let threads = Arc::default();
    let (here, there) = channel::pair();
    let one = |connect: Connect| {
        let (registry, other) = (Arc::new(Registry::new()), Other::default());
        nest(&registry, Arc::clone(&other), &threads);
        (connect.handlers(registry).dispatcher(Inline).background(0), other)
    };
    let (executor, executors_other) = one(Connect::executor(Setup::default()));
    let (controller, controllers_other) = one(Connect::controller());
    let executor = thread::spawn(move || {
        let peer = executor.over(there).unwrap();
        executors_other.set(peer.downgrade()).unwrap();
        peer.serve().reason.clone()
    });
    let controller = controller.over(here).unwrap();
    controllers_other.set(controller.downgrade()).unwrap();
    assert_eq!(call_typed::<u32, u32>(&controller, NEST, &30), Ok(30));
    let mut distinct = threads.lock().unwrap().clone();
    distinct.sort_by_key(|id| format!("{id:?}"));
    distinct.dedup();
    assert_eq!(distinct.len(), 2);
    drop(controller);
    assert_eq!(executor.join().unwrap(), "it hung up");
}

#[test]
fn many_threads_of_both_sides_nest_at_once() {
    let dispatchers: [fn(Connect) -> Connect; 3] = [
        |connect| connect,
        |connect| connect.dispatcher(Inline),
        |connect| connect.linger(Duration::ZERO).background(2),
    ];
    for build in dispatchers {
        let serve = |registry: &Registry, other: Other| nest(registry, other, &Arc::default());
        let Pair { controller, executor } = connect(build, serve);
        let callers: Vec<_> = (0..8u32)
            .map(|thread| {
                let peer = if thread % 2 == 0 { controller.clone() } else { executor.clone() };
                thread::spawn(move || {
                    for round in 0..60 {
                        let depth = (thread + round) % 7;
                        assert_eq!(call_typed::<u32, u32>(&peer, NEST, &depth), Ok(depth));
                    }
                })
            })
            .collect();
        callers.into_iter().for_each(|caller| caller.join().unwrap());
    }
}

#[test]
fn an_answer_finds_its_caller_while_another_call_is_served() {
    // The first call blocks in its handler until the second has been answered.
    let (go, wait) = mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let (here, there) = channel::pair();
    let registry = Arc::new(Registry::new());
    registry.serve(BLOCK, move |(): ()| wait.lock().unwrap().recv().is_ok()).unwrap();
    registry.add(ECHO, |args: &[u8]| Reply::copy_from(args)).unwrap();
    let _executor = Connect::executor(Setup::default()).handlers(registry).over(there).unwrap();
    let controller = Connect::controller().over(here).unwrap();
    let blocked = {
        let controller = controller.clone();
        thread::spawn(move || call_typed::<_, bool>(&controller, BLOCK, &()))
    };
    for size in 0..200 {
        let args = vec![3; size];
        assert_eq!(controller.call(ECHO, &args).unwrap().bytes(), Ok(&*args));
    }
    go.send(()).unwrap();
    assert_eq!(blocked.join().unwrap(), Ok(true));
}

#[test]
fn a_handler_that_waits_for_other_calls_gets_them_from_the_pool() {
    // Eight calls that all wait for each other: each needs a thread of its own.
    let barrier = Arc::new(Barrier::new(8));
    let serve = |registry: &Registry, _: Other| {
        let barrier = Arc::clone(&barrier);
        registry.serve(BLOCK, move |(): ()| barrier.wait().is_leader()).unwrap();
    };
    let Pair { controller, executor: _executor } = connect(|connect| connect, serve);
    let calls: Vec<_> = (0..8)
        .map(|_| {
            let controller = controller.clone();
            thread::spawn(move || call_typed::<_, bool>(&controller, BLOCK, &()).unwrap())
        })
        .collect();
    let leaders = calls.into_iter().map(|call| call.join().unwrap()).filter(|leader| *leader).count();
    assert_eq!(leaders, 1);
}

#[test]
fn a_queue_runs_calls_where_and_when_it_is_asked() {
    let queue = Queue::new();
    let (here, there) = channel::pair();
    let registry = Arc::new(Registry::new());
    let ran_on = Arc::new(Mutex::new(Vec::new()));
    let note = Arc::clone(&ran_on);
    registry.serve(ECHO, move |(): ()| note.lock().unwrap().push(thread::current().id())).unwrap();
    let _executor =
        Connect::executor(Setup::default()).handlers(registry).dispatcher(queue.clone()).over(there).unwrap();
    let controller = Connect::controller().over(here).unwrap();
    assert!(!queue.run_one(Duration::ZERO));
    let calls: Vec<_> = (0..3)
        .map(|_| {
            let controller = controller.clone();
            thread::spawn(move || call_typed::<_, ()>(&controller, ECHO, &()))
        })
        .collect();
    assert!(queue.run_one(Duration::from_secs(20)));
    eventually("two calls wait", || queue.len() == 2);
    assert!(ran_on.lock().unwrap().len() == 1, "nothing runs unasked");
    assert_eq!(queue.run_pending(), 2);
    assert!(queue.is_empty());
    calls.into_iter().for_each(|call| assert_eq!(call.join().unwrap(), Ok(())));
    assert_eq!(*ran_on.lock().unwrap(), [thread::current().id(); 3]);
}

#[test]
fn a_job_shows_what_is_called_and_is_answered_if_it_is_dropped() {
    struct Lazy;
    impl Dispatcher for Lazy {
        fn dispatch(&self, job: Job) -> Option<Job> {
            assert_eq!((job.tag(), job.args()), (Tag(0x77), &b"for it"[..]));
            assert_eq!(format!("{job:?}"), "Job(tag-0x77 6 bytes)");
            drop(job);
            None
        }
    }
    let Pair { controller, executor: _executor } = connect(|connect| connect.dispatcher(Lazy), |_, _| {});
    let reply = controller.call(Tag(0x77), b"for it").unwrap();
    let text = reply.as_error().unwrap();
    assert!(text.contains("tag-0x77 was dropped"), "{text}");
}

#[test]
fn a_pool_stays_within_its_maximum_and_serves_all() {
    let running = Arc::new(AtomicUsize::new(0));
    let most = Arc::new(AtomicUsize::new(0));
    let (here, there) = channel::pair();
    let registry = Arc::new(Registry::new());
    let (now, max) = (Arc::clone(&running), Arc::clone(&most));
    let work = move |(): ()| {
        max.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        thread::sleep(Duration::from_millis(2));
        now.fetch_sub(1, Ordering::SeqCst);
    };
    registry.serve(ECHO, work).unwrap();
    let pool = Pool::new(3);
    let executor = Connect::executor(Setup::default()).handlers(registry).dispatcher(pool);
    let _executor = executor.over(there).unwrap();
    let controller = Connect::controller().over(here).unwrap();
    let calls: Vec<_> = (0..12)
        .map(|_| {
            let controller = controller.clone();
            thread::spawn(move || (0..4).for_each(|_| call_typed(&controller, ECHO, &()).unwrap()))
        })
        .collect();
    calls.into_iter().for_each(|call| call.join().unwrap());
    assert!((1..=3).contains(&most.load(Ordering::SeqCst)), "{most:?}");
}

#[test]
fn a_panic_in_a_handler_is_an_answer() {
    let Pair { controller, executor: _executor } = connect(
        |connect| connect,
        |registry, _| {
            registry
                .serve(BLOCK, |(): ()| {
                    if true {
                        panic!("at the disco")
                    }
                })
                .unwrap();
            registry.serve(ECHO, |n: u32| n).unwrap();
        },
    );
    let reply = controller.call(BLOCK, b"").unwrap();
    assert_eq!(reply.as_error(), Some("the handler of tag-0x3 panicked: at the disco"));
    assert_eq!(call_typed::<u32, u32>(&controller, ECHO, &5), Ok(5), "the connection goes on");
    let reply = controller.call(ECHO, b"too long for it").unwrap();
    assert!(reply.as_error().unwrap().contains("arguments of tag-0x1"), "{reply:?}");
}

#[test]
fn a_call_over_the_limit_is_refused_and_the_connection_goes_on() {
    let limits = Limits { max_frame: 2000, max_pending: 4, ..Limits::default() };
    let (go, wait) = mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let (here, there) = channel::pair();
    let registry = Arc::new(Registry::new());
    registry.add(ECHO, |args: &[u8]| Reply::from([args, args].concat())).unwrap();
    let entered = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&entered);
    let block = move |(): ()| {
        count.fetch_add(1, Ordering::SeqCst);
        wait.lock().unwrap().recv().is_ok()
    };
    registry.serve(BLOCK, block).unwrap();
    let _executor = Connect::executor(Setup::default()).handlers(registry).over(there).unwrap();
    let controller = Connect::controller().limits(limits).over(here).unwrap();
    let error = controller.call(ECHO, &[0; 1969]).unwrap_err();
    assert_eq!(error, CallError::TooLarge { tag: ECHO, size: 2001, limit: 2000 });

    let calls: Vec<_> = (0..4)
        .map(|_| {
            let controller = controller.clone();
            thread::spawn(move || call_typed::<_, bool>(&controller, BLOCK, &()))
        })
        .collect();
    eventually("four calls wait", || entered.load(Ordering::SeqCst) == 4);
    assert_eq!(controller.call(ECHO, b""), Err(CallError::TooManyPending { limit: 4 }));
    (0..4).for_each(|_| go.send(()).unwrap());
    calls.into_iter().for_each(|call| assert_eq!(call.join().unwrap(), Ok(true)));
    assert_eq!(controller.call(ECHO, &[1; 10]).unwrap().bytes(), Ok(&[1; 20][..]));
}

#[test]
fn a_call_with_a_time_limit_ends_in_time_and_its_late_answer_is_dropped() {
    for background in [0, 1] {
        let (go, wait) = mpsc::channel::<()>();
        let wait = Mutex::new(wait);
        let (here, there) = channel::pair();
        let registry = Arc::new(Registry::new());
        registry.serve(BLOCK, move |(): ()| wait.lock().unwrap().recv().is_ok()).unwrap();
        registry.serve(ECHO, |n: u32| n).unwrap();
        let _executor = Connect::executor(Setup::default()).handlers(registry).over(there).unwrap();
        let controller = Connect::controller().background(background).over(here).unwrap();
        let start = Instant::now();
        let timed_out = controller.call_within(Duration::from_millis(30), BLOCK, b"");
        assert_eq!(timed_out, Err(CallError::TimedOut(BLOCK)));
        assert!((30..5000).contains(&start.elapsed().as_millis()), "{:?}", start.elapsed());
        go.send(()).unwrap();
        for n in 0..50u32 {
            let reply = controller.call_within(Duration::from_secs(20), ECHO, &to_bytes(&n)).unwrap();
            assert_eq!(reply.bytes(), Ok(&to_bytes(&n)[..]));
            assert_eq!(call_typed::<u32, u32>(&controller, ECHO, &n), Ok(n));
        }
    }
}

#[test]
fn dropping_the_last_handle_hangs_up() {
    let Pair { controller, executor } = connect(|connect| connect, |_, _| {});
    let weak = controller.downgrade();
    let clone = controller.clone();
    drop(controller);
    assert!(executor.closed().is_none() && weak.upgrade().is_some());
    drop(clone);
    assert_eq!(executor.wait_closed().reason, "it hung up");
    let error = executor.call(ECHO, b"").unwrap_err();
    let words = "the connection to the other end of the channel is closed: it hung up";
    assert_eq!(error.to_string(), words);
    assert!(matches!(weak.call(ECHO, b""), Err(CallError::Disconnected(_))));
}

#[test]
fn a_nested_call_whose_connection_ends_fails_on_both_sides_once() {
    let failures = Arc::new(AtomicUsize::new(0));
    let Pair { controller, executor } = connect(
        |connect| connect,
        |registry, other| {
            let failures = Arc::clone(&failures);
            registry
                .serve(NEST, move |depth: u32| {
                    if depth == 0 {
                        other.wait().upgrade().unwrap().hang_up(Err("in the middle".into()));
                    } else if let Err(CallError::Disconnected(_)) =
                        call_typed::<u32, ()>(other.wait(), NEST, &(depth - 1))
                    {
                        failures.fetch_add(1, Ordering::SeqCst);
                    }
                })
                .unwrap();
        },
    );
    let error = call_typed::<u32, ()>(&controller, NEST, &5).unwrap_err();
    assert!(matches!(error, CallError::Disconnected(_)), "{error}");
    eventually("all five nested calls fail", || failures.load(Ordering::SeqCst) == 5);
    assert!(controller.closed().is_some() && executor.closed().is_some());
}

#[test]
fn a_peer_can_stand_in_for_handlers() {
    // first -- relay -- last: the relay's handlers are the last peer.
    let (a, b) = channel::pair();
    let (c, d) = channel::pair();
    let registry = Arc::new(Registry::new());
    registry.serve(ECHO, |text: String| text.to_uppercase()).unwrap();
    let _last = Connect::executor(Setup::default()).handlers(registry).over(d).unwrap();
    let to_last = Connect::controller().over(c).unwrap();
    let _relay = Connect::executor(Setup::default()).handlers(Arc::new(to_last)).over(b).unwrap();
    let first = Connect::controller().over(a).unwrap();
    assert_eq!(call_typed::<str, String>(&first, ECHO, "through").as_deref(), Ok("THROUGH"));
}

// ---- hostile and foreign peers ----

/// A controller's view of an executor that is played by hand.
fn by_hand(play: impl FnOnce(UnixStream) + Send + 'static) -> Result<Peer, dispatch::ConnectError> {
    let (ours, theirs) = UnixStream::pair().unwrap();
    thread::spawn(move || play(theirs));
    Connect::controller().setup_timeout(Duration::from_millis(200)).over(socket(ours).unwrap())
}

fn setup_frame() -> Vec<u8> {
    Frame::new(Opcode::Setup, Seq::NONE, Tag(0), to_bytes(&Setup::default())).to_bytes()
}

#[test]
fn whoever_does_not_begin_as_an_executor_is_not_connected() {
    let garbage: Vec<u8> = (0..1000u32).map(|i| ((i * 7919) >> 3) as u8).collect();
    let call = Frame::new(Opcode::Call, Seq(1), Tag(1), b"".as_slice()).to_bytes();
    let broken = Frame::new(Opcode::Setup, Seq::NONE, Tag(0), b"what?".as_slice()).to_bytes();
    let goodbye = dispatch::packed::Status(Err("full".into()));
    let goodbye = Frame::new(Opcode::Hangup, Seq::NONE, Tag(0), to_bytes(&goodbye)).to_bytes();
    let cases = [
        (garbage, "another protocol"),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(), "another protocol"),
        (call, "began with Call instead of Setup"),
        (broken, "description of itself is unreadable"),
        (goodbye, "hung up: full"),
        (setup_frame()[..40].to_vec(), "came as 40 bytes"),
        (Vec::new(), "before saying anything"),
    ];
    for (bytes, words) in cases {
        let error = by_hand(move |mut socket| drop(socket.write_all(&bytes))).unwrap_err().to_string();
        assert!(error.contains(words) && error.contains("the stranger"), "{error}");
    }
    let start = Instant::now();
    let silent = by_hand(|mut socket| drop(socket.read(&mut [0; 10]))).unwrap_err().to_string();
    assert!(silent.contains("said nothing for 200ms"), "{silent}");
    assert!(start.elapsed() < Duration::from_secs(10));
}

#[test]
fn a_peer_that_breaks_the_protocol_is_left_with_its_name_and_deed() {
    let frame = |opcode, seq, tag| Frame::new(opcode, Seq(seq), Tag(tag), b"".as_slice()).to_bytes();
    let cases = [
        (frame(Opcode::Result, 77, 0), "answered call-77, which is not waiting"),
        (setup_frame(), "sent Setup again"),
        ([frame(Opcode::Call, 5, 1), frame(Opcode::Call, 5, 1)].concat(), ""),
        (vec![0xff; 64], "another protocol"),
        (frame(Opcode::Call, 5, 1)[..20].to_vec(), "came as 20 bytes"),
    ];
    for (bytes, words) in cases {
        let peer = by_hand(move |mut socket| {
            socket.write_all(&setup_frame()).unwrap();
            // Whatever is answered meanwhile is not read.
            let _ = socket.write_all(&bytes);
        })
        .unwrap();
        let waiting = peer.call(Tag(1), b"").unwrap_err();
        let closed = peer.wait_closed();
        assert_eq!(waiting, CallError::Disconnected(Arc::clone(&closed)));
        assert!(closed.to_string().contains("the stranger"), "{closed}");
        // A call may also fail because its sending did: the deed is then not what ended the connection.
        assert!(closed.reason.contains(words) || closed.reason.contains("sending failed"), "{closed}");
    }
}

#[test]
fn a_peer_of_another_make_is_served() {
    // Setup without features; numbers whose upper half is no parent; errors as empty results.
    let heard = Arc::new(AtomicBool::new(false));
    let note = Arc::clone(&heard);
    let play = move |socket: UnixStream| {
        let stream = Stream::new(socket.try_clone().unwrap(), socket);
        let (mut sender, mut receiver) = stream.split(&Limits::default()).unwrap();
        let setup = Frame::from_bytes(&setup_frame(), &Limits::default()).unwrap().into_owned();
        sender.send(setup).unwrap();
        // No Setup comes back: the first frame is a call.
        let call = receiver.recv().unwrap().unwrap();
        assert_eq!((call.opcode, call.seq, call.tag), (Opcode::Call, Seq(1), Tag(0xabc)));
        // It calls back before it answers, with a number of its own making.
        let own = Seq(1 << 32 | 9);
        sender.send(Frame::new(Opcode::Call, own, Tag(0x404), b"".as_slice())).unwrap();
        let answer = receiver.recv().unwrap().unwrap();
        assert_eq!((answer.opcode, answer.seq, answer.tag), (Opcode::Result, own, Tag(0)));
        assert!(answer.payload.is_empty());
        sender.send(Frame::new(Opcode::Result, call.seq, Tag(0), b"fine".as_slice())).unwrap();
        let goodbye = receiver.recv().unwrap().unwrap();
        assert_eq!(goodbye.opcode, Opcode::Hangup);
        note.store(true, Ordering::SeqCst);
    };
    let peer = by_hand(play).unwrap();
    assert_eq!(peer.features(), Features::empty());
    assert_eq!(peer.call(Tag(0xabc), b"").unwrap().bytes(), Ok(&b"fine"[..]));
    peer.hang_up(Ok(()));
    eventually("the other make hears the goodbye", || heard.load(Ordering::SeqCst));
}
