//! Can an executor that says whatever it likes harm its controller?

use crate::common::compile;
use crate::support::{ORC, in_time};
use dispatch::frame::{Frame, Limits, Opcode, Seq};
use dispatch::packed::{Pack, to_bytes};
use dispatch::transport::unix::{self, Unix};
use dispatch::transport::{SendFrame as _, Transport as _};
use dispatch::{Caller as _, Connect, Peer, Registry, Reply, Setup, Tag, WeakPeer, call_typed};
use orc_jit::executor::Remote;
use orc_jit::executor::remote::{Place, RemoteOptions};
use orc_jit::{Error, Session, SessionOptions, Watchers};
use orc_rt::service::down::{Attach, Attached, Native, Reserve, Reserved, VERSION, VERSION_KEY, tag};
use orc_rt::service::{Lookup, Open, Plan, scope, tag as up};
use orc_rt::tls::ThreadLocal;
use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;
use tempfile::TempDir;

type Answer = Arc<dyn Fn(&Told, &[u8]) -> Reply + Send + Sync>;

/// What answers may use.
pub(crate) struct Told {
    peer: OnceLock<WeakPeer>,
    /// The shared memory, once it has come.
    memory: Mutex<Option<OwnedFd>>,
}

impl Told {
    /// `jit_dlopen`, as far as its plan.
    fn plan(&self, name: &str) -> Result<Option<Plan>, String> {
        let peer = self.peer.wait();
        match call_typed::<_, Result<Option<Plan>, String>>(peer, up::OPEN, &Open { name, mode: 2 }) {
            Ok(answer) => answer,
            Err(error) => Err(error.to_string()),
        }
    }
}

/// An executor that is none: a table of answers.
pub(crate) struct Fake {
    setup: Setup,
    answers: HashMap<Tag, Answer>,
}

/// A [`Fake`] that listens.
pub(crate) struct Listening {
    place: Place,
    /// Its side of each connection.
    peers: Receiver<Peer>,
    _folder: TempDir,
}

impl Listening {
    pub(crate) fn place(&self) -> &Place {
        &self.place
    }
}

fn good_setup() -> Setup {
    Setup {
        triple: "x86_64-unknown-linux-gnu".into(),
        page_size: 4096,
        map: vec![(VERSION_KEY.to_owned(), to_bytes(&VERSION))],
        symbols: Vec::new(),
    }
}

/// Where the first of several segments that do not overlap is.
fn reserved(wanted: &Reserve) -> Reserved {
    let mut next = 0;
    let segments = wanted.segments.iter().map(|segment| {
        let offset = next;
        next = (next + segment.size).next_multiple_of(4096);
        (0x7000_0000_0000 + offset, offset)
    });
    let segments = segments.collect();
    Reserved { memory: 1, segments, stale: Vec::new(), thread_local: None, watchers: Watchers::empty() }
}

fn ok<T: Pack>(value: T) -> Reply {
    Reply::packed(&Ok::<T, String>(value))
}

impl Fake {
    /// One that answers as it should, and runs nothing.
    pub(crate) fn new() -> Self {
        let mut fake = Self { setup: good_setup(), answers: HashMap::new() };
        fake.set(tag::ATTACH, |told, args| {
            let attach: Attach = dispatch::packed::from_bytes(args).expect("a message");
            let shares_memory =
                attach.shared_memory.is_some() && told.memory.lock().is_ok_and(|memory| memory.is_some());
            let entry_points = vec![("__tls_get_addr".to_owned(), 0x7000_ffff_0000)];
            ok(Attached { entry_points, process: 1, shares_memory, ..Attached::default() })
        });
        fake.set(tag::RESERVE, |_, args| ok(reserved(&dispatch::packed::from_bytes(args).expect("a message"))));
        fake.set(tag::FINALIZE, |_, args| {
            let message: orc_rt::service::down::Finalize<'_> = dispatch::packed::from_bytes(args).expect("a message");
            ok((1..=message.images.len() as u64).collect::<Vec<u64>>())
        });
        fake.set(tag::LOOKUP, |_, args| {
            let (_, names): (Option<u32>, Vec<String>) = dispatch::packed::from_bytes(args).expect("a message");
            Reply::packed(&vec![None::<Native>; names.len()])
        });
        fake.set(tag::LOOKUP_THREAD_LOCALS, |_, args| {
            let names: Vec<String> = dispatch::packed::from_bytes(args).expect("a message");
            Reply::packed(&vec![None::<Native>; names.len()])
        });
        fake.set(tag::OPEN, |told, args| {
            let (_, name, _): (u64, String, u32) = dispatch::packed::from_bytes(args).expect("a message");
            Reply::packed(&told.plan(&name).map(|_| 1u64))
        });
        for tag in [tag::CLOSE, tag::UPDATE, tag::UNLOAD, tag::SET_ARGUMENTS] {
            fake.set(tag, |_, _| ok(()));
        }
        for tag in [tag::RELEASE, tag::END_LANE, tag::END_PROGRAM] {
            fake.set(tag, |_, _| Reply::empty());
        }
        fake
    }

    fn set(&mut self, tag: Tag, answer: impl Fn(&Told, &[u8]) -> Reply + Send + Sync + 'static) {
        self.answers.insert(tag, Arc::new(answer));
    }

    fn with(mut self, tag: Tag, answer: impl Fn(&Told, &[u8]) -> Reply + Send + Sync + 'static) -> Self {
        self.set(tag, answer);
        self
    }

    /// Never answers calls of `tag`.
    pub(crate) fn silent_at(self, tag: Tag) -> Self {
        self.with(tag, |_, _| {
            thread::sleep(Duration::from_secs(2));
            Reply::error("too late")
        })
    }

    fn saying(mut self, setup: Setup) -> Self {
        self.setup = setup;
        self
    }

    pub(crate) fn start(self) -> Listening {
        let folder = tempfile::tempdir().expect("a directory");
        let path = folder.path().join("socket");
        let listener = unix::Listener::bind(&path).expect("a socket");
        let (connected, peers) = channel();
        thread::spawn(move || {
            while let Ok(transport) = listener.accept() {
                if connected.send(self.serve(transport)).is_err() {
                    return;
                }
            }
        });
        Listening { place: Place::Unix(path), peers, _folder: folder }
    }

    fn serve(&self, transport: Unix) -> Peer {
        let descriptors = transport.descriptors();
        let told = Arc::new(Told { peer: OnceLock::new(), memory: Mutex::default() });
        let registry = Registry::new();
        for (tag, answer) in &self.answers {
            let (told, answer, descriptors) = (Arc::clone(&told), Arc::clone(answer), descriptors.clone());
            let handler = move |args: &[u8]| {
                let memory = descriptors.take_received().into_iter().next();
                if let (Some(memory), Ok(mut place)) = (memory, told.memory.lock()) {
                    *place = Some(memory);
                }
                answer(&told, args)
            };
            registry.add(*tag, handler).expect("each once");
        }
        let peer = Connect::executor(self.setup.clone()).handlers(Arc::new(registry)).over(transport);
        let peer = peer.expect("a connection");
        assert!(told.peer.set(peer.downgrade()).is_ok(), "once");
        peer
    }
}

fn options() -> RemoteOptions {
    let mut options = RemoteOptions::default();
    options.heartbeat = None;
    options.connect_timeout = Duration::from_secs(5);
    options
}

const SOURCE: &str = "int data[50] = {1}; int zero[500]; const int constant[30] = {2}; extern int other(void) __attribute__((weak));\n\
    int get(void) { return data[3] + zero[4] + constant[5] + (other ? other() : 0); }";

const WITH_THREAD_LOCALS: &str = "__thread int own = 3; int get(void) { return own; }";

fn session(listening: &Listening, share: bool, source: &str) -> Session<Remote> {
    let mut options = options();
    options.share_memory = share;
    let remote = Remote::connect(listening.place(), options).expect("it seems to be an executor");
    assert_eq!(remote.shares_memory(), share);
    let session = Session::new(remote, SessionOptions::default()).expect("a session");
    let dylib = session.add_dylib("main").expect("a free name");
    dylib.add_object("main.o", compile(&["gcc", "-x", "c"], source)).expect("a live session");
    session
}

/// Opens over `fake`, and gives the words of the error, if it is one.
#[track_caller]
fn opens(fake: Fake, share: bool, source: &'static str) -> Result<(), String> {
    let listening = fake.start();
    in_time(Duration::from_secs(20), "an open", move || {
        let session = session(&listening, share, source);
        let opened = session.open("main").map(drop).map_err(|error| error.to_string());
        if let Err(text) = &opened {
            assert!(!text.contains("panicked") && !text.contains("internal error"), "{text}");
        }
        opened
    })
}

#[track_caller]
fn refused(fake: Fake, share: bool, part: &str) {
    let text = opens(fake, share, SOURCE).expect_err("it is refused");
    assert!(text.contains(part), "{part:?} is not in {text:?}");
}

fn reserving(change: impl Fn(&mut Reserved, &Reserve) + Send + Sync + 'static) -> Fake {
    Fake::new().with(tag::RESERVE, move |_, args| {
        let wanted: Reserve = dispatch::packed::from_bytes(args).expect("a message");
        let mut answer = reserved(&wanted);
        change(&mut answer, &wanted);
        ok(answer)
    })
}

#[test]
fn one_that_behaves_is_taken_for_an_executor() {
    for share in [true, false] {
        assert_eq!(opens(Fake::new(), share, SOURCE), Ok(()), "{share}");
    }
}

#[test]
fn reservations_outside_of_the_shared_memory_are_refused() {
    const SIZE: u64 = 64 << 30;
    for offset in [SIZE, SIZE - 8, u64::MAX, u64::MAX - 4096, 1 << 63] {
        refused(reserving(move |it, _| it.segments[0].1 = offset), true, "outside of what is shared");
        refused(reserving(move |it, _| it.stale.push((offset, 16))), true, "outside of what is shared");
    }
    refused(reserving(|it, _| it.stale.push((16, u64::MAX))), true, "outside of what is shared");
}

#[test]
fn reservations_that_overlap_are_refused() {
    refused(reserving(|it, _| it.segments[1].1 = it.segments[0].1), true, "twice");
    refused(reserving(|it, _| it.segments[1].1 = it.segments[0].1 + 1), true, "twice");
    refused(reserving(|it, _| it.segments[1].0 = it.segments[0].0), true, "overlap");
    refused(reserving(|it, _| it.segments[1].0 = it.segments[0].0), false, "overlap");
}

#[test]
fn reservations_at_impossible_addresses_are_refused() {
    for share in [true, false] {
        refused(reserving(|it, _| it.segments[0].0 = u64::MAX - 7), share, "address");
        refused(reserving(|it, _| it.segments[0].0 += 1), share, "address");
    }
}

#[test]
fn reservations_of_another_number_of_segments_are_refused() {
    for share in [true, false] {
        refused(reserving(|it, _| it.segments.truncate(1)), share, "other segments");
        refused(reserving(|it, _| it.segments.push((0, 0))), share, "other segments");
        refused(reserving(|it, _| it.segments.clear()), share, "other segments");
    }
    let refuses = Fake::new().with(tag::RESERVE, |_, _| Reply::packed(&Err::<Reserved, _>("no room".to_owned())));
    refused(refuses, true, "no room");
    let missing = opens(Fake::new(), true, WITH_THREAD_LOCALS).expect_err("there is no place for it");
    assert!(missing.contains("thread-local"), "{missing}");
}

#[test]
fn garbage_for_an_answer_is_refused() {
    let garbage: [&'static [u8]; 4] = [b"", b"\x01", b"\x01\xff\xff\xff\xff\xff\xff\xff\xff", &[0xee; 300]];
    for bytes in garbage {
        for tag in [tag::RESERVE, tag::FINALIZE, tag::OPEN, tag::LOOKUP] {
            let fake = Fake::new().with(tag, move |_, _| Reply::copy_from(bytes));
            let answer = opens(fake, true, SOURCE);
            let is_handle = tag == tag::OPEN && bytes.len() == 9;
            assert_eq!(answer.is_ok(), is_handle, "{tag} {bytes:?}");
            let fake = Fake::new().with(tag, move |_, _| Reply::error("out of band"));
            refused(fake, false, "out of band");
        }
        let fake = Fake::new().with(tag::ATTACH, move |_, _| Reply::copy_from(bytes)).start();
        assert!(Remote::connect(fake.place(), options()).is_err(), "{bytes:?}");
    }
    let more = Fake::new().with(tag::FINALIZE, |_, _| ok(vec![1u64; 1000]));
    refused(more, true, "as many images");
    let fewer = Fake::new().with(tag::FINALIZE, |_, _| ok(Vec::<u64>::new()));
    refused(fewer, true, "as many images");
    let names = Fake::new().with(tag::LOOKUP, |_, _| Reply::packed(&vec![None::<Native>; 77]));
    refused(names, true, "an answer for each name");
}

#[test]
fn one_of_another_version_or_make_is_refused() {
    let with = |map: Vec<(String, Vec<u8>)>| Fake::new().saying(Setup { map, ..good_setup() }).start();
    let fails = |listening: &Listening| Remote::connect(listening.place(), options()).expect_err("refused").to_string();
    let key = || VERSION_KEY.to_owned();
    let other = fails(&with(vec![(key(), to_bytes(&(VERSION + 1)))]));
    let versions = [VERSION + 1, VERSION].map(|version| format!("version {version}"));
    assert!(versions.iter().all(|version| other.contains(version)), "{other}");
    assert!(fails(&with(Vec::new())).contains("of another make"));
    assert!(fails(&with(vec![(key(), Vec::new())])).contains("of another make"));
    assert!(fails(&with(vec![(key(), vec![1; 99])])).contains("of another make"));
}

/// A stranger at a socket: sends these frames, then stays.
fn stranger(frames: Vec<Frame<'static>>) -> Listening {
    let folder = tempfile::tempdir().expect("a directory");
    let path = folder.path().join("socket");
    let listener = unix::Listener::bind(&path).expect("a socket");
    let (_, peers) = channel();
    thread::spawn(move || {
        let Ok(transport) = listener.accept() else { return };
        let (mut sender, _receiver) = transport.split(&Limits::default()).expect("halves");
        for frame in frames {
            if sender.send(frame).is_err() {
                return;
            }
        }
        thread::sleep(Duration::from_secs(8));
    });
    Listening { place: Place::Unix(path), peers, _folder: folder }
}

#[test]
fn frames_out_of_order_end_the_connection_with_a_reason() {
    let setup = || Frame::new(Opcode::Setup, Seq::NONE, Tag(0), to_bytes(&good_setup()));
    let fails = |frames: Vec<Frame<'static>>| {
        let listening = stranger(frames);
        let mut options = options();
        options.connect_timeout = Duration::from_secs(1);
        in_time(Duration::from_secs(10), "connecting", move || {
            Remote::connect(listening.place(), options).expect_err("refused").to_string()
        })
    };
    let answer = |number: u32, bytes: &'static [u8]| Frame::new(Opcode::Result, Seq::new(number, 0), Tag(0), bytes);
    assert!(fails(vec![answer(1, b"")]).contains("is it an executor?"));
    assert!(fails(vec![Frame::new(Opcode::Setup, Seq::NONE, Tag(0), &b"garbage"[..])]).contains("unreadable"));
    assert!(fails(vec![]).contains("it said nothing for"));
    let never = fails(vec![setup(), answer(77, b"12345678")]);
    assert!(never.contains("closed"), "a result for a call never made: {never}");
    let twice = fails(vec![setup(), setup()]);
    assert!(twice.contains("closed"), "Setup twice: {twice}");
}

#[test]
fn calls_up_that_make_no_sense_are_answered_and_change_nothing() {
    let listening = Fake::new().start();
    let session = session(&listening, true, SOURCE);
    let fake = listening.peers.recv_timeout(Duration::from_secs(5)).expect("connected");
    for tag in [up::OPEN, up::UPDATE, up::CLOSED, up::LOOKUP, up::DESCRIBE] {
        for bytes in [&b""[..], b"\xff", &[0xff; 64], &[0; 9]] {
            let answer = fake.call(tag, bytes).unwrap_or_else(|error| panic!("{tag}: {error}"));
            let text = format!("{:?}", answer.bytes().map(|bytes| String::from_utf8_lossy(bytes).into_owned()));
            assert!(!text.contains("panicked"), "{tag}: {text}");
        }
    }
    for dylib in [0u32, 1, 2, 99, u32::MAX] {
        for scope in [scope::HANDLE, scope::DEFAULT, scope::NEXT, 77] {
            let lookup = Lookup { scope, dylib, name: "no_such_name" };
            let found = call_typed::<_, Result<Option<orc_rt::service::Found>, String>>(&fake, up::LOOKUP, &lookup);
            assert_eq!(found, Ok(Ok(None)), "{dylib} {scope}");
        }
        let closed = call_typed::<_, ()>(&fake, up::CLOSED, &vec![dylib; 1000]);
        assert_eq!(closed, Ok(()));
    }
    assert!(matches!(fake.call(tag::RESERVE, b""), Ok(reply) if reply.as_error().is_some()), "not the controller's");
    assert!(session.open("main").is_ok());
    // Unloaded behind the back of who has it open: linked anew when it is asked for.
    assert_eq!(call_typed::<_, ()>(&fake, up::CLOSED, &vec![1u32]), Ok(()));
    assert!(session.open("main").is_ok());
}

#[test]
fn a_plan_that_is_asked_for_while_another_is_being_made_is_no_deadlock() {
    let fake = Fake::new().with(tag::RESERVE, |told, args| {
        // From within the controller's own request.
        let answer = told.plan("main").expect_err("it is being linked");
        assert!(answer.contains("resolver"), "{answer}");
        ok(reserved(&dispatch::packed::from_bytes(args).expect("a message")))
    });
    assert_eq!(opens(fake, true, SOURCE), Ok(()));
}

#[test]
fn memory_that_others_still_write_is_not_given_out_again() {
    // Two dylibs are linked together: the second reservation is the first one's memory.
    let listening = Fake::new().start();
    let session = session(&listening, true, "int get(void); int run(void) { return get(); }");
    let lib = session.add_dylib("lib").expect("a free name");
    lib.add_object("lib.o", compile(&["gcc", "-x", "c"], "int get(void) { return 1; }")).expect("a live session");
    session.dylib("main").expect("it is there").set_link_order([&lib]).expect("of this session");
    let Err(error) = session.open("main") else { panic!("the same memory twice") };
    assert!(error.to_string().contains("twice"), "{error}");
}

/// Numbers that look random.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn pick(&mut self, from: &[u64]) -> u64 {
        from[(self.roll() % from.len() as u64) as usize]
    }
}

#[test]
fn no_reservation_whatever_makes_the_controller_fall() {
    const EDGES: [u64; 12] =
        [0, 1, 8, 4095, 4096, 0x1_0000, 0x7fff_ffff, 0x8000_0000, 1 << 47, u64::MAX - 4096, u64::MAX - 1, u64::MAX];
    let dice = Arc::new(Mutex::new(Dice(0x5eed)));
    let own = Arc::clone(&dice);
    let fake = Fake::new()
        .with(tag::RESERVE, move |_, args| {
            let wanted: Reserve = dispatch::packed::from_bytes(args).expect("a message");
            let mut answer = reserved(&wanted);
            let mut dice = own.lock().unwrap_or_else(PoisonError::into_inner);
            for segment in &mut answer.segments {
                match dice.roll() % 8 {
                    0 => segment.0 = dice.pick(&EDGES),
                    1 => segment.1 = dice.pick(&EDGES),
                    2 => segment.0 = segment.0.wrapping_add(dice.pick(&EDGES)),
                    3 => segment.0 = dice.pick(&EDGES) & !4095,
                    _ => {}
                }
            }
            if dice.roll().is_multiple_of(4) {
                answer.stale.push((dice.pick(&EDGES), dice.pick(&EDGES)));
            }
            let (module, offset, distance) = (dice.pick(&EDGES), dice.pick(&EDGES), dice.pick(&EDGES));
            answer.thread_local = (!dice.roll().is_multiple_of(4)).then_some(ThreadLocal {
                module: module as _,
                offset: offset as _,
                distance: dice.roll().is_multiple_of(2).then_some(distance as _),
            });
            ok(answer)
        })
        .with(tag::LOOKUP, |_, args| {
            let (_, names): (Option<u32>, Vec<String>) = dispatch::packed::from_bytes(args).expect("a message");
            let native = Native { address: u64::MAX - 3, kind: 9, thread_local: None, size: u64::MAX };
            Reply::packed(&vec![Some(native); names.len()])
        });
    let listening = fake.start();
    in_time(Duration::from_secs(30), "opening", move || {
        for source in [SOURCE, WITH_THREAD_LOCALS] {
            for share in [true, false] {
                let session = session(&listening, share, source);
                for round in 0..300 {
                    let result = session.open("main");
                    let Err(error) = result else { continue };
                    let text = error.to_string();
                    assert!(!matches!(error, Error::Internal(_)), "{round}: {text}");
                    assert!(!text.contains("panicked") && !text.contains("closed"), "{round}: {text}");
                }
            }
        }
    });
}

#[test]
fn a_process_that_is_no_executor_is_ended() {
    let place = Place::Spawn { path: Some("/bin/sleep".into()), arguments: vec!["77".into()] };
    let mut brief = options();
    brief.connect_timeout = Duration::from_millis(500);
    // `sleep` does not understand how to connect, and says so by ending.
    let error = Remote::connect(&place, brief.clone()).expect_err("it is none").to_string();
    assert!(error.contains("closed the connection before saying anything"), "{error}");
    // A shell that ignores its arguments stays.
    let script = vec!["-c".into(), "exec sleep 78".into()];
    let place = Place::Spawn { path: Some("/bin/sh".into()), arguments: script };
    let error = Remote::connect(&place, brief).expect_err("it is none").to_string();
    assert!(error.contains("said nothing for 500ms"), "{error}");
    crate::support::wait_for("the end of the process", || {
        let own = crate::support::children(std::process::id());
        own.iter().all(|child| {
            let line = std::fs::read(format!("/proc/{child}/cmdline")).unwrap_or_default();
            line != b"sleep\x0078\0"
        })
    });
    let orc = Place::Spawn { path: Some(ORC.into()), arguments: vec!["--version".into()] };
    assert!(Remote::connect(&orc, options()).is_err());
}
