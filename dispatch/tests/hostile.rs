//! What does a hostile other side cost? A clean end with its name and deed, and nothing that stays: no thread, no descriptor, no
//! memory to speak of. Each attack is made on a controller and on an executor, over a real socket.

mod common;

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use common::{eventually, setup_with, socket};
use dispatch::frame::{Frame, Opcode, Seq};
use dispatch::packed::to_bytes;
use dispatch::{CallError, Caller, Connect, Disconnect, Features, Limits, Peer, Registry, Reply, Role, Setup, Tag};

const ECHO: Tag = Tag(1);
/// Nobody answers it: an error, which is short.
const UNKNOWN: Tag = Tag(99);
const PING: Tag = Tag(1);
const CANCEL: Tag = Tag(3);
const SUBJECT: Tag = Tag(0x100);
const ROLES: [Role; 2] = [Role::Controller, Role::Executor];

/// A live peer, and the socket of the one who attacks it.
struct Attack {
    peer: Peer,
    socket: UnixStream,
}

fn frame(opcode: Opcode, seq: u64, tag: Tag, payload: &[u8]) -> Vec<u8> {
    Frame::new(opcode, Seq(seq), tag, payload).to_bytes()
}

/// Both sides have introduced themselves as they should.
fn attack(role: Role, build: impl FnOnce(Connect) -> Connect) -> Attack {
    let mut attack = stranger(role, build, &frame(Opcode::Setup, 0, Tag(0), &setup_with(Features::all())));
    let mut theirs = [0; 8];
    attack.socket.read_exact(&mut theirs).unwrap();
    let mut rest = vec![0; u64::from_le_bytes(theirs) as usize - 8];
    attack.socket.read_exact(&mut rest).unwrap();
    eventually("the victim knows what was agreed", || {
        attack.peer.features() == Features::all() || attack.peer.closed().is_some()
    });
    attack
}

/// The attacker begins with `first` and has read nothing.
fn stranger(role: Role, build: impl FnOnce(Connect) -> Connect, first: &[u8]) -> Attack {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    theirs.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    theirs.set_write_timeout(Some(Duration::from_secs(20))).unwrap();
    theirs.write_all(first).unwrap();
    let registry = Arc::new(Registry::new());
    registry.add(ECHO, |args: &[u8]| Reply::copy_from(args)).unwrap();
    let connect = match role {
        Role::Controller => Connect::controller(),
        Role::Executor => Connect::executor(Setup::default()),
    };
    let peer = build(connect.handlers(registry)).over(socket(ours).unwrap()).unwrap();
    Attack { peer, socket: theirs }
}

impl Attack {
    /// Sends bytes; the victim may have left before it took them all.
    fn send(&mut self, bytes: &[u8]) -> bool {
        self.socket.write_all(bytes).is_ok()
    }

    /// Why the victim left. Whoever calls it later hears the same.
    fn end(self) -> Arc<Disconnect> {
        let closed = self.peer.wait_closed();
        assert_eq!(self.peer.call(ECHO, b""), Err(CallError::Disconnected(Arc::clone(&closed))));
        assert_eq!(self.peer.in_flight(), (0, 0));
        assert!(closed.to_string().contains("the stranger"), "{closed}");
        closed
    }
}

/// One attack at a time, and nothing is left of it.
fn alone(attacks: impl FnOnce()) {
    static ALONE: Mutex<()> = Mutex::new(());
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let descriptors = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let threads = || {
        let tasks = std::fs::read_dir("/proc/self/task").unwrap().flatten();
        let names = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("comm")).ok());
        names.filter(|name| name.starts_with("dispatch-")).count()
    };
    let before = descriptors();
    attacks();
    eventually("every thread ends", || threads() == 0);
    eventually("every descriptor is closed", || descriptors() <= before);
}

/// Runs `attack` and checks that the process keeps within `more` MiB of what it had.
fn within(more: u64, attack: impl FnOnce()) {
    let resident = || {
        let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
        statm.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
    };
    let before = resident();
    let most = Arc::new(AtomicU64::new(0));
    let done = Arc::new(AtomicU64::new(0));
    let watcher = {
        let (most, done) = (Arc::clone(&most), Arc::clone(&done));
        thread::spawn(move || {
            while done.load(Ordering::SeqCst) == 0 {
                most.fetch_max(resident(), Ordering::SeqCst);
                thread::sleep(Duration::from_millis(5));
            }
        })
    };
    attack();
    done.store(1, Ordering::SeqCst);
    watcher.join().unwrap();
    let grown = most.load(Ordering::SeqCst).saturating_sub(before) >> 20;
    assert!(grown <= more, "{grown} MiB more than before");
}

#[test]
fn breaches_of_the_protocol() {
    let garbage: Vec<u8> = (0..1_000_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let call = |seq| frame(Opcode::Call, seq, ECHO, b"x");
    let huge = |size: u64, opcode: u64| [size.to_le_bytes(), opcode.to_le_bytes(), [0; 8], [0; 8]].concat();
    let setup = frame(Opcode::Setup, 0, Tag(0), &setup_with(Features::all()));
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (garbage, "another protocol"),
        (b"GET / HTTP/1.1\r\n\r\n".repeat(10), "another protocol"),
        (vec![0; 32], "less than its own header"),
        (huge(u64::MAX, 3), "more than the 1073741824 allowed"),
        (huge(1 << 40, 4), "more than the 4194304 allowed"),
        (huge(5 << 20, 1), "more than the 4194304 allowed"),
        (huge(32, 5), "unknown opcode 0x5"),
        (setup.clone(), "sent Setup again"),
        (frame(Opcode::Result, 77, Tag(0), b""), "answered call-77, which is not waiting"),
        (frame(Opcode::Result, u64::MAX, Tag(1), b"no"), "which is not waiting"),
        (frame(Opcode::Result, 1, Tag(9), b""), "bears the unexpected tag-0x9"),
        ([call(5), call(5)].concat().repeat(50), "call-5 twice"),
        (frame(Opcode::Notice, 1, SUBJECT, b""), "bears call-1"),
        (frame(Opcode::Notice, 0, Tag(77), b""), "not agreed on"),
        (frame(Opcode::Notice, 0, PING, b"x"), "cannot be read"),
        (frame(Opcode::Notice, 0, CANCEL, &[0; 9]), "cannot be read"),
        (frame(Opcode::Hangup, 0, Tag(0), b"\x01\xff\xff\xff\xff\xff\xff\xff\xff"), "a reason that cannot be read"),
        (frame(Opcode::Hangup, 0, Tag(0), b"\x00"), "it hung up"),
    ];
    alone(|| {
        for role in ROLES {
            for (bytes, words) in &cases {
                let mut attack = attack(role, |connect| connect);
                // What it does after the deed does not matter any more.
                let _ = attack.send(bytes) && attack.send(&call(9));
                let closed = attack.end();
                // A victim that was answering may find that the line is gone before it reads the deed.
                let found = closed.reason.contains(words) || closed.reason.contains("sending failed");
                assert!(found, "{role:?}: {closed}, expected: {words}");
            }
        }
    });
}

#[test]
fn introductions_that_are_none() {
    let setup = |payload: &[u8]| frame(Opcode::Setup, 0, Tag(0), payload);
    let count = |n: u64| [to_bytes("x"), to_bytes(&4096u64), to_bytes(&n)].concat();
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (setup(&[0; 5 << 20]), "more than the 4194304 allowed"),
        (setup(&count(u64::MAX)), "claims 18446744073709551615 elements"),
        (setup(&count(1 << 32)), "claims 4294967296 elements"),
        (setup(&count(0)), "unreadable"),
        (setup(&to_bytes(&u64::MAX)), "claims 18446744073709551615"),
        (setup(&[to_bytes(&2u64), vec![0xff; 30]].concat()), "not valid UTF-8"),
        (frame(Opcode::Setup, 1, Tag(0), b""), "instead of zeros"),
        (frame(Opcode::Result, 0, Tag(0), b""), "instead of Setup"),
        (frame(Opcode::Notice, 0, SUBJECT, b""), "instead of Setup"),
    ];
    alone(|| {
        for (bytes, words) in &cases {
            let expecting = |connect: Connect| connect.expect_setup(Duration::from_secs(20));
            let (ours, mut theirs) = UnixStream::pair().unwrap();
            let attacker = {
                let bytes = bytes.clone();
                thread::spawn(move || theirs.write_all(&bytes).map(|()| theirs))
            };
            let refused = Connect::controller().over(socket(ours).unwrap()).unwrap_err().to_string();
            assert!(refused.contains(words), "{refused}, expected: {words}");
            drop(attacker.join().unwrap());
            let mut attack = stranger(Role::Executor, expecting, b"");
            attack.send(bytes);
            let closed = attack.end();
            assert!(closed.reason.contains(words), "{closed}, expected: {words}");
        }
        // Features that are no number are none.
        let map = vec![("orc-dispatch.features".to_owned(), b"all!".to_vec())];
        let odd = setup(&to_bytes(&Setup { map, ..Setup::default() }));
        let attack = stranger(Role::Controller, |connect| connect, &odd);
        assert_eq!(attack.peer.features(), Features::empty());
    });
}

#[test]
fn half_frames() {
    let whole = frame(Opcode::Call, 1, ECHO, &[7; 40]);
    alone(|| {
        for role in ROLES {
            for cut in 1..whole.len() {
                let mut attack = attack(role, |connect| connect);
                attack.send(&whole[..cut]);
                attack.socket.shutdown(std::net::Shutdown::Both).unwrap();
                let closed = attack.end();
                assert!(closed.reason.contains(&format!("came as {cut} bytes")), "{role:?}: {closed}");
            }
        }
    });
}

#[test]
fn a_frame_that_never_comes_whole() {
    // It announces all that is allowed, sends little, and stays.
    alone(|| {
        for role in ROLES {
            within(64, || {
                let watch = |connect: Connect| connect.heartbeat(Duration::from_millis(50), Duration::from_millis(300));
                let mut attack = attack(role, watch);
                let header = [(1u64 << 30).to_le_bytes(), 3u64.to_le_bytes(), [1; 8], [1; 8]].concat();
                attack.send(&header);
                attack.send(&[0; 1000]);
                let socket = attack.socket.try_clone().unwrap();
                assert_eq!(attack.end().reason, "it said nothing for 300ms");
                drop(socket);
            });
        }
    });
}

#[test]
fn a_million_calls_that_wait() {
    let limits = Limits { max_pending: 1000, ..Limits::default() };
    alone(|| {
        for role in ROLES {
            within(64, || {
                let queue = dispatch::dispatcher::Queue::new();
                let mut attack = attack(role, |connect| connect.limits(limits).dispatcher(queue.clone()));
                let calls: Vec<u8> = (1..=1000u64).flat_map(|seq| frame(Opcode::Call, seq, ECHO, &[0; 100])).collect();
                assert!(attack.send(&calls));
                eventually("all that are allowed are here", || attack.peer.in_flight() == (0, 1000));
                for thousand in 1..1000u64 {
                    let more = (1..=1000).flat_map(|n| frame(Opcode::Call, thousand * 1000 + n, ECHO, &[0; 100]));
                    if !attack.send(&more.collect::<Vec<u8>>()) {
                        break;
                    }
                }
                assert!(attack.end().reason.contains("more than 1000 calls at once"));
                assert_eq!(queue.len(), 1000);
                queue.run_pending();
            });
        }
    });
}

#[test]
fn calls_whose_answers_are_never_read() {
    // Answers fill the line; then calls pile up behind those that cannot be answered.
    let limits = Limits { max_pending: 2000, ..Limits::default() };
    alone(|| {
        for role in ROLES {
            within(64, || {
                let mut attack = attack(role, |connect| connect.limits(limits));
                let large = vec![0; 4000];
                for seq in 1..=1_000_000u64 {
                    if !attack.send(&frame(Opcode::Call, seq, ECHO, &large)) {
                        break;
                    }
                }
                let reason = attack.end().reason.clone();
                assert!(reason.contains("more than 2000 calls at once"), "{reason}");
            });
        }
    });
}

#[test]
fn calls_with_more_bytes_than_may_be_held() {
    let limits = Limits { max_held: 1 << 20, ..Limits::default() };
    alone(|| {
        for role in ROLES {
            let queue = dispatch::dispatcher::Queue::new();
            let mut attack = attack(role, |connect| connect.limits(limits).dispatcher(queue.clone()));
            for seq in 1..=4u64 {
                assert!(attack.send(&frame(Opcode::Call, seq, UNKNOWN, &vec![0; 1 << 18])));
            }
            eventually("what is allowed is here", || attack.peer.in_flight() == (0, 4));
            assert_eq!(queue.run_pending(), 4);
            // What has been answered is not held any more.
            assert!(attack.send(&frame(Opcode::Call, 5, UNKNOWN, &vec![0; 1 << 20])));
            eventually("another is here", || attack.peer.in_flight() == (0, 1));
            attack.send(&frame(Opcode::Call, 6, UNKNOWN, b"x"));
            assert!(attack.end().reason.contains("calls with more than 1048576 bytes at once"));
        }
    });
}

#[test]
fn a_million_notices() {
    alone(|| {
        for role in ROLES {
            within(64, || {
                let heard = Arc::new(AtomicU64::new(0));
                let note = Arc::clone(&heard);
                let count = move |_: Tag, _: &[u8]| {
                    note.fetch_add(1, Ordering::SeqCst);
                };
                let mut attack = attack(role, |connect| connect.on_notice(count));
                // Of its own, of pings whose answers are not read, of calls that were never made.
                let some: Vec<u8> = (0..1000u64)
                    .flat_map(|seq| {
                        [
                            frame(Opcode::Notice, 0, SUBJECT, b"hello"),
                            frame(Opcode::Notice, 0, PING, b""),
                            frame(Opcode::Notice, 0, CANCEL, &to_bytes(&seq)),
                        ]
                        .concat()
                    })
                    .collect();
                for _ in 0..333 {
                    assert!(attack.send(&some));
                }
                eventually("all are heard", || heard.load(Ordering::SeqCst) == 333_000);
                assert!(attack.peer.closed().is_none());
                assert!(attack.send(&frame(Opcode::Call, 1, ECHO, b"x")), "it is still served");
                drop(attack.socket);
                attack.peer.wait_closed();
            });
        }
    });
}

#[test]
fn a_goodbye_in_the_middle_of_nested_calls() {
    // The victim calls, the attacker calls back on its behalf, ten times nested, and leaves: in order, or in the middle of a frame.
    let goodbyes = [frame(Opcode::Hangup, 0, Tag(0), b"\x00"), Vec::new(), frame(Opcode::Hangup, 0, Tag(0), b"")];
    alone(|| {
        for role in ROLES {
            for goodbye in &goodbyes {
                let nested = Arc::new(AtomicU64::new(0));
                let registry = Arc::new(Registry::new());
                let back = common::Other::default();
                let (count, other) = (Arc::clone(&nested), Arc::clone(&back));
                let again = move |_: &[u8]| match other.wait().call(ECHO, b"deeper") {
                    Err(CallError::Disconnected(_)) => {
                        count.fetch_add(1, Ordering::SeqCst);
                        Reply::empty()
                    }
                    other => panic!("{other:?}"),
                };
                registry.add(SUBJECT, again).unwrap();
                let mut attack = attack(role, |connect| connect.handlers(registry));
                assert!(back.set(attack.peer.downgrade()).is_ok());
                let caller = attack.peer.clone();
                let outermost = thread::spawn(move || caller.call(ECHO, b"").unwrap_err());
                for depth in 1..=10u32 {
                    let mut call = [0; 32];
                    attack.socket.read_exact(&mut call).unwrap();
                    let payload = u64::from_le_bytes(call[..8].try_into().unwrap()) as usize - 32;
                    attack.socket.read_exact(&mut vec![0; payload]).unwrap();
                    let number = u32::from_le_bytes(call[16..20].try_into().unwrap());
                    attack.send(&frame(Opcode::Call, Seq::new(depth, number).0, SUBJECT, b""));
                }
                eventually("the tenth is served", || attack.peer.in_flight() == (11, 10));
                attack.send(goodbye);
                attack.socket.shutdown(std::net::Shutdown::Both).unwrap();
                assert!(matches!(outermost.join().unwrap(), CallError::Disconnected(_)));
                assert_eq!(nested.load(Ordering::SeqCst), 10, "each nested call fails once");
                attack.end();
            }
        }
    });
}

#[test]
fn a_victim_that_leaves_does_not_wait_for_one_that_does_not_read() {
    alone(|| {
        for role in ROLES {
            let attack = attack(role, |connect| connect);
            let caller = attack.peer.clone();
            // Fills the line and blocks in sending.
            let call = thread::spawn(move || caller.call(ECHO, &vec![0; 8 << 20]));
            eventually("it is under way", || attack.peer.in_flight() == (1, 0));
            let start = std::time::Instant::now();
            drop(attack.peer.clone());
            attack.peer.hang_up(Ok(()));
            assert!(matches!(call.join().unwrap(), Err(CallError::Disconnected(_))));
            assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
        }
    });
}
