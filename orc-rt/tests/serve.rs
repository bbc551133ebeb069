//! Does an executor do what its controller's messages say, all of it or nothing, whatever they say?
#![cfg(not(shuttle))]
#![cfg(target_arch = "x86_64")]

use dispatch::packed::{Pack, Unpack};
use dispatch::transport::unix::Unix;
use dispatch::transport::{Transport, channel};
use dispatch::{CallError, Caller as _, Connect, Peer, Tag, call_expected, call_typed};
use orc_rt::memory::Prot;
use orc_rt::serve::{Connected, Executor};
use orc_rt::service::down::{
    Attach, Attached, Finalize, ImageMessage, Release, Reserve, Reserved, SegmentWanted, VERSION, VERSION_KEY, Write,
    tag,
};
use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::{AtomicU32, Ordering};

const CODE: u8 = Prot::READ.union(Prot::EXEC).bits();
const DATA: u8 = Prot::READ.union(Prot::WRITE).bits();
const CONST: u8 = Prot::READ.bits();

/// A session in this process, with its controller at the other end of a connection.
struct Served {
    peer: Peer,
    connected: Connected,
}

impl Served {
    fn over(here: impl Transport, there: impl Transport, prepare: impl FnOnce(&mut Executor)) -> Self {
        // SAFETY: the controller is the test.
        let mut executor = unsafe { Executor::new() };
        prepare(&mut executor);
        let connected = executor.over(there).expect("a connection");
        let peer = Connect::controller().over(here).expect("an executor");
        assert_eq!(
            peer.setup().and_then(|setup| setup.value(VERSION_KEY)),
            Some(&*dispatch::packed::to_bytes(&VERSION))
        );
        Self { peer, connected }
    }

    fn new() -> Self {
        let (here, there) = channel::pair();
        let served = Self::over(here, there, |_| {});
        let attached: Attached = served.expect(tag::ATTACH, &Attach::default());
        assert!(!attached.shares_memory && attached.process == std::process::id());
        served
    }

    /// One that runs what is written to the file.
    fn shared() -> (Self, File) {
        const SIZE: u64 = 4 << 30;
        let (here, there) = Unix::pair().expect("sockets");
        let (sending, receiving) = (here.descriptors(), there.descriptors());
        let served =
            Self::over(here, there, |executor| executor.receive_descriptors(move || receiving.take_received()));
        let file = memfd_create("code", MemfdFlags::CLOEXEC).expect("a file in memory");
        ftruncate(&file, SIZE).expect("its size");
        sending.send_with_next(file.try_clone().expect("a descriptor"));
        let attached: Attached = served.expect(tag::ATTACH, &Attach { shared_memory: Some(SIZE), stdio: false });
        assert!(attached.shares_memory);
        (served, File::from(file))
    }

    #[track_caller]
    fn ask<A: Pack + ?Sized, R: for<'a> Unpack<'a>>(&self, tag: Tag, args: &A) -> R {
        call_typed(&self.peer, tag, args).unwrap_or_else(|error| panic!("{tag}: {error}"))
    }

    #[track_caller]
    fn expect<A: Pack + ?Sized, R: for<'a> Unpack<'a>>(&self, tag: Tag, args: &A) -> R {
        call_expected(&self.peer, tag, args).unwrap_or_else(|error| panic!("{tag}: {error}"))
    }

    #[track_caller]
    fn refused<A: Pack + ?Sized>(&self, tag: Tag, args: &A, part: &str) {
        let answer: Result<Result<Vec<u64>, String>, CallError> = call_typed(&self.peer, tag, args);
        match answer {
            Ok(Err(text)) => assert!(text.contains(part), "{part:?} is not in {text:?}"),
            other => panic!("{tag}: {other:?}"),
        }
    }

    #[track_caller]
    fn reserve(&self, segments: &[(u8, u64, u64)]) -> Reserved {
        let wanted =
            segments.iter().map(|&(prot, size, content_size)| SegmentWanted { prot, align: 16, size, content_size });
        self.expect(tag::RESERVE, &Reserve { segments: wanted.collect(), low: false, thread_local: None })
    }

    #[track_caller]
    fn finalize(&self, memories: &[(u64, Vec<&[u8]>)], images: Vec<ImageMessage>) -> Vec<u64> {
        self.expect(tag::FINALIZE, &Finalize { memories: memories.to_vec(), images })
    }

    fn release(&self, images: &[u64], memories: &[u64]) {
        self.ask::<_, ()>(tag::RELEASE, &Release { images: images.to_vec(), memories: memories.to_vec() });
    }

    /// Calls the function at an address as `main`, on the second thread of the controller.
    #[track_caller]
    fn run(&self, entry: u64) -> i32 {
        self.expect(tag::RUN_PROGRAM, &(1u64, entry, Vec::<Vec<u8>>::new()))
    }

    fn read(&self, address: u64, size: u64) -> Result<Vec<u8>, String> {
        let read: Vec<Result<Vec<u8>, String>> = self.ask(tag::READ_MEMORY, &vec![(address, size)]);
        read.into_iter().next().expect("one answer for one range")
    }

    /// Bytes of the slab in use, and registrations.
    fn holds(&self) -> (u64, usize) {
        let session = self.connected.session();
        (session.slab().usage().used, session.ledger().len())
    }
}

/// An image of one range, of a dylib that no other test has.
fn image(start: u64, size: u64) -> ImageMessage {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    ImageMessage {
        dylib: NEXT.fetch_add(1, Ordering::Relaxed),
        name: "main".into(),
        ranges: vec![(start, start + size)],
        dso_handle: 0,
        eh_frame: None,
        ifuncs: Vec::new(),
        thread_local: None,
        slots: (0, 0),
        symbols: Vec::new(),
    }
}

/// `mov eax, value; ret`
fn returning(value: u32) -> Vec<u8> {
    let mut code = vec![0xb8];
    code.extend(value.to_le_bytes());
    code.push(0xc3);
    code
}

/// `mov rax, address; inc dword [rax]; mov eax, [rax]; ret`
fn counting(address: u64) -> Vec<u8> {
    let mut code = vec![0x48, 0xb8];
    code.extend(address.to_le_bytes());
    code.extend([0xff, 0x00, 0x8b, 0x00, 0xc3]);
    code
}

/// `mov eax, SYS_gettid; syscall; ret`
const THREAD: [u8; 8] = [0xb8, 186, 0, 0, 0, 0x0f, 0x05, 0xc3];

#[test]
fn many_memories_become_final_in_one_message_and_run() {
    let served = Served::new();
    let before = served.holds();
    let code: Vec<Vec<u8>> = (0..50).map(returning).collect();
    let reserved: Vec<Reserved> = code.iter().map(|_| served.reserve(&[(CODE, 6, 6), (DATA, 100, 4)])).collect();
    let memories: Vec<(u64, Vec<&[u8]>)> =
        reserved.iter().zip(&code).map(|(it, code)| (it.memory, vec![&**code, &b"data"[..]])).collect();
    let images = reserved.iter().map(|it| image(it.segments[0].0, 6)).collect();
    let images = served.finalize(&memories, images);
    assert_eq!(images.len(), 50);
    for (value, it) in reserved.iter().enumerate() {
        assert_eq!(served.run(it.segments[0].0), value as i32);
        let mut data = b"data".to_vec();
        data.resize(100, 0);
        assert_eq!(served.read(it.segments[1].0, 100), Ok(data));
    }
    let numbers: Vec<u64> = reserved.iter().map(|it| it.memory).collect();
    served.release(&images, &numbers);
    assert_eq!(served.holds(), before);
}

#[test]
fn a_finalize_that_fails_leaves_nothing() {
    let served = Served::new();
    let kept = served.reserve(&[(CODE, 6, 6)]);
    let kept_code = returning(7);
    let kept_at = kept.segments[0].0;
    let kept_images = served.finalize(&[(kept.memory, vec![&*kept_code])], vec![image(kept_at, 6)]);
    let before = served.holds();
    let code = returning(1);

    type Spoil = fn(&mut Vec<(u64, Vec<&'static [u8]>)>, &mut Vec<ImageMessage>, (u64, u64));
    static LONG: &[u8] = &[0x90; 5000];
    let spoils: [(&str, Spoil); 9] = [
        ("there is no memory 999", |memories, _, _| memories.push((999, Vec::new()))),
        ("there is no memory", |memories, _, _| memories.push(memories[0].clone())),
        ("is final already", |memories, _, (kept, _)| memories.push((kept, Vec::new()))),
        ("do not fit into segment 1", |memories, _, _| memories[1].1.push(LONG)),
        ("do not fit into segment 0", |memories, _, _| memories[0].1[0] = LONG),
        ("there is no segment 2", |memories, _, _| memories[0].1 = vec![b"", b"", b"more"]),
        ("is already registered", |_, images, (_, at)| images.push(image(at, 6))),
        ("is already registered", |_, images, _| images.push(ImageMessage { dylib: 77, ..images[0].clone() })),
        ("a dylib has number 0", |_, images, _| images[1].dylib = 0),
    ];
    for (part, spoil) in spoils {
        let reserved = [0, 1].map(|_| served.reserve(&[(CODE, 6, 6), (DATA, 64, 64)]));
        let mut memories: Vec<(u64, Vec<&'static [u8]>)> =
            reserved.iter().map(|it| (it.memory, vec![&b"\xb8\x01\0\0\0\xc3"[..]])).collect();
        let mut images: Vec<ImageMessage> = reserved.iter().map(|it| image(it.segments[0].0, 6)).collect();
        spoil(&mut memories, &mut images, (kept.memory, kept_at));
        served.refused(tag::FINALIZE, &Finalize { memories, images }, part);
        assert_eq!(served.holds(), before, "{part}");
        for it in &reserved {
            let again = Finalize { memories: vec![(it.memory, vec![&*code])], images: Vec::new() };
            served.refused(tag::FINALIZE, &again, "there is no memory");
        }
        assert_eq!(served.run(kept_at), 7, "{part}: what was there stays");
    }
    // The session goes on.
    let after = served.reserve(&[(CODE, 6, 6)]);
    served.finalize(&[(after.memory, vec![&*code])], vec![image(after.segments[0].0, 6)]);
    assert_eq!(served.run(after.segments[0].0), 1);
    served.release(&kept_images, &[kept.memory]);
}

#[test]
fn reservations_that_cannot_be_are_refused() {
    let served = Served::new();
    let before = served.holds();
    let reserve = |prot, align, size, content_size| Reserve {
        segments: vec![SegmentWanted { prot, align, size, content_size }],
        low: false,
        thread_local: None,
    };
    served.refused(tag::RESERVE, &reserve(DATA | CODE, 16, 8, 8), "writable and executable");
    served.refused(tag::RESERVE, &reserve(DATA, 3, 8, 8), "power of two");
    served.refused(tag::RESERVE, &reserve(DATA, 0, 8, 8), "power of two");
    served.refused(tag::RESERVE, &reserve(DATA, 1 << 40, 8, 8), "power of two");
    served.refused(tag::RESERVE, &reserve(DATA, 16, 8, 9), "content");
    served.refused(tag::RESERVE, &reserve(DATA, 16, u64::MAX, 0), "cannot all reach");
    let mut many = reserve(DATA, 16, 1 << 30, 0);
    many.segments = vec![many.segments[0]; 3];
    served.refused(tag::RESERVE, &many, "cannot all reach");
    let storage = |size, align| {
        let wanted = orc_rt::tls::Wanted { size, align, constant: true };
        Reserve { segments: Vec::new(), low: false, thread_local: Some(wanted) }
    };
    served.refused(tag::RESERVE, &storage(8, 5), "power of two");
    served.refused(tag::RESERVE, &storage(u64::MAX, 8), "more than a thread can have");
    assert_eq!(served.holds(), before);
    assert!(served.peer.call(tag::RESERVE, b"garbage").is_ok_and(|reply| reply.as_error().is_some()));
}

#[test]
fn numbers_that_were_never_given_out_release_nothing() {
    let served = Served::new();
    let it = served.reserve(&[(CODE, 6, 6)]);
    let code = returning(3);
    let images = served.finalize(&[(it.memory, vec![&*code])], vec![image(it.segments[0].0, 6)]);
    let before = served.holds();
    served.release(&[0, images[0] + 1, u64::MAX], &[0, it.memory + 1, u64::MAX]);
    assert_eq!(served.holds(), before);
    assert_eq!(served.run(it.segments[0].0), 3);
    let waiting = served.reserve(&[(DATA, 1 << 20, 10)]);
    served.release(&[], &[waiting.memory]);
    assert_eq!(served.holds(), before, "what was only reserved goes back as well");
    served.release(&images, &[it.memory]);
    let empty = served.holds();
    served.release(&images, &[it.memory]);
    assert_eq!((served.holds(), empty.0), (empty, 0), "once is enough");
    let gone: Result<i32, String> = served.ask(tag::RUN_PROGRAM, &(1u64, it.segments[0].0, Vec::<Vec<u8>>::new()));
    assert!(gone.is_err_and(|text| text.contains("lies in no image")));
}

#[test]
fn memory_is_read_where_there_is_some() {
    let served = Served::new();
    let it = served.reserve(&[(CONST, 8192, 8192)]);
    let bytes: Vec<u8> = (0..8192u32).map(|number| number as u8).collect();
    served.finalize(&[(it.memory, vec![&*bytes])], Vec::new());
    let at = it.segments[0].0;
    let ranges: Vec<(u64, u64)> =
        vec![(at, 8192), (at + 5, 3), (at, 0), (16, 8), (u64::MAX - 3, 4), (u64::MAX, 16), (at, 1 << 40), (1 << 63, 1)];
    let read: Vec<Result<Vec<u8>, String>> = served.ask(tag::READ_MEMORY, &ranges);
    assert_eq!(read.len(), ranges.len());
    assert_eq!(read[..3], [Ok(bytes.clone()), Ok(vec![5, 6, 7]), Ok(Vec::new())]);
    for (range, answer) in ranges.iter().zip(&read).skip(3) {
        let text = answer.as_ref().expect_err("nothing is there");
        assert!(text.contains("cannot read") || text.contains("more than one read gives"), "{range:x?}: {text}");
    }
    let many: Vec<Result<Vec<u8>, String>> = served.ask(tag::READ_MEMORY, &vec![(at, 16u64); 10_000]);
    assert!(many.len() == 10_000 && many.iter().all(|one| one.as_deref() == Ok(&bytes[..16])));
    // What one answer gives has a limit, however it is asked for.
    let much: Vec<Result<Vec<u8>, String>> = served.ask(tag::READ_MEMORY, &vec![(at, 8192u64); 9000]);
    let given = much.iter().filter(|one| one.is_ok()).count();
    assert_eq!((much.len(), given), (9000, 8192));
    assert!(much[8999].as_ref().is_err_and(|text| text.contains("more than one read gives")));
}

#[test]
fn pieces_are_written_where_they_belong_and_nowhere_else() {
    let served = Served::new();
    let it = served.reserve(&[(CODE, 6, 6), (DATA, 10, 10)]);
    let write = |segment, offset, bytes| Write { memory: it.memory, segment, offset, bytes };
    let written = |message: &Write<'_>| served.expect::<_, ()>(tag::WRITE, message);
    written(&write(0, 3, b"\0\0\xc3"));
    written(&write(0, 0, b"\xb8\x09\0"));
    written(&write(1, 10, b""));
    written(&write(1, 8, b"yz"));
    written(&write(1, 0, b"ab"));
    served.refused(tag::WRITE, &write(1, 9, b"yz"), "do not fit into segment 1");
    served.refused(tag::WRITE, &write(1, 11, b""), "do not fit into segment 1");
    served.refused(tag::WRITE, &write(1, u64::MAX, b"a"), "do not fit into segment 1");
    served.refused(tag::WRITE, &write(2, 0, b"a"), "there is no segment 2");
    served.refused(tag::WRITE, &write(u32::MAX, 0, b"a"), "there is no segment");
    served.refused(tag::WRITE, &Write { memory: 999, ..write(0, 0, b"a") }, "there is no memory 999");
    // What came in pieces is not overwritten by nothing.
    served.finalize(&[(it.memory, vec![b"", b""])], vec![image(it.segments[0].0, 6)]);
    assert_eq!(served.run(it.segments[0].0), 9);
    assert_eq!(served.read(it.segments[1].0, 10), Ok(b"ab\0\0\0\0\0\0yz".to_vec()));
    served.refused(tag::WRITE, &write(0, 0, b"a"), "there is no memory");
}

#[test]
fn descriptors_that_do_not_come_are_missed() {
    let (here, there) = channel::pair();
    let served = Served::over(here, there, |_| {});
    served.refused(
        tag::ATTACH,
        &Attach { shared_memory: Some(1 << 30), stdio: false },
        "no descriptor of shared memory",
    );
    served.refused(tag::ATTACH, &Attach { shared_memory: None, stdio: true }, "did not come along");
    let attached: Attached = served.expect(tag::ATTACH, &Attach::default());
    assert!(!attached.shares_memory, "it goes on without");
    let it = served.reserve(&[(CODE, 6, 6)]);
    let code = returning(2);
    served.finalize(&[(it.memory, vec![&*code])], vec![image(it.segments[0].0, 6)]);
    assert_eq!(served.run(it.segments[0].0), 2);
    // Memory that comes when some is in use already is not taken.
    let (here, there) = Unix::pair().expect("sockets");
    let (sending, receiving) = (here.descriptors(), there.descriptors());
    let served = Served::over(here, there, |executor| executor.receive_descriptors(move || receiving.take_received()));
    served.reserve(&[(DATA, 6, 6)]);
    let file: OwnedFd = memfd_create("late", MemfdFlags::CLOEXEC).expect("a file in memory");
    ftruncate(&file, 1 << 30).expect("its size");
    sending.send_with_next(file);
    let attached: Attached = served.expect(tag::ATTACH, &Attach { shared_memory: Some(1 << 30), stdio: false });
    assert!(!attached.shares_memory);
}

#[test]
fn a_file_that_is_shorter_than_it_is_said_to_be_is_no_memory() {
    let (here, there) = Unix::pair().expect("sockets");
    let (sending, receiving) = (here.descriptors(), there.descriptors());
    let served = Served::over(here, there, |executor| executor.receive_descriptors(move || receiving.take_received()));
    let file: OwnedFd = memfd_create("short", MemfdFlags::CLOEXEC).expect("a file in memory");
    ftruncate(&file, 4096).expect("its size");
    sending.send_with_next(file);
    let attached: Attached = served.expect(tag::ATTACH, &Attach { shared_memory: Some(4 << 30), stdio: false });
    assert!(!attached.shares_memory, "code behind the end of a file would end the process");
}

#[test]
fn what_is_written_to_shared_memory_runs() {
    let (served, file) = Served::shared();
    let it = served.reserve(&[(CODE, 15, 15), (DATA, 100, 4), (CONST, 9, 9)]);
    let [(code, code_at), (data, data_at), (constant, constant_at)] = it.segments[..] else { panic!("three") };
    assert!(it.stale.is_empty(), "new memory");
    let refused = Write { memory: it.memory, segment: 0, offset: 0, bytes: b"a" };
    served.refused(tag::WRITE, &refused, "is shared memory: it is written there");
    file.write_all_at(&counting(data), code_at).expect("room");
    file.write_all_at(&41u32.to_le_bytes(), data_at).expect("room");
    file.write_all_at(b"read only", constant_at).expect("room");
    let images = served.finalize(&[(it.memory, Vec::new())], vec![image(code, 15)]);
    assert_eq!((served.run(code), served.run(code)), (42, 43));
    assert_eq!(served.read(constant, 9), Ok(b"read only".to_vec()));
    assert_eq!(served.read(data, 5), Ok(vec![43, 0, 0, 0, 0]));
    let mut there = [0; 4];
    file.read_exact_at(&mut there, data_at).expect("it is there");
    assert_eq!(there, 41u32.to_le_bytes(), "what the program writes is its own");
    served.release(&images, &[it.memory]);
    assert_eq!(served.holds(), (0, 0));
}

#[test]
fn shared_memory_that_is_used_again_shows_what_is_new() {
    let (served, file) = Served::shared();
    let mut reused = 0;
    for round in 0..20u32 {
        let it = served.reserve(&[(CODE, 15, 15), (DATA, 12000, 4)]);
        let [(code, code_at), (data, data_at)] = it.segments[..] else { panic!("two") };
        for &(start, size) in &it.stale {
            reused += size;
            file.write_all_at(&vec![0; size as usize], start).expect("room");
        }
        file.write_all_at(&counting(data), code_at).expect("room");
        file.write_all_at(&(100 * round).to_le_bytes(), data_at).expect("room");
        let images = served.finalize(&[(it.memory, Vec::new())], vec![image(code, 15)]);
        let mut expected = (100 * round).to_le_bytes().to_vec();
        expected.resize(12000, 0);
        assert_eq!(served.read(data, 12000).as_ref(), Ok(&expected), "round {round}: data is fresh");
        assert_eq!(served.run(code), 100 * round as i32 + 1, "round {round}");
        // Spoiled, as a program does, in the page that had contents and in one that had none.
        let spoil = served.reserve(&[(CODE, 15, 15)]);
        for &(start, size) in &spoil.stale {
            file.write_all_at(&vec![0; size as usize], start).expect("room");
        }
        file.write_all_at(&counting(data + 9000), spoil.segments[0].1).expect("room");
        let spoiling = served.finalize(&[(spoil.memory, Vec::new())], vec![image(spoil.segments[0].0, 15)]);
        assert_eq!(served.run(spoil.segments[0].0), 1, "round {round}");
        served.release(&[images[0], spoiling[0]], &[it.memory, spoil.memory]);
    }
    assert!(reused > 0, "pages were used again");
    assert_eq!(served.holds(), (0, 0));
}

#[test]
fn shared_memory_that_is_used_up_is_an_error() {
    let (here, there) = Unix::pair().expect("sockets");
    let (sending, receiving) = (here.descriptors(), there.descriptors());
    let served = Served::over(here, there, |executor| executor.receive_descriptors(move || receiving.take_received()));
    let file: OwnedFd = memfd_create("small", MemfdFlags::CLOEXEC).expect("a file in memory");
    ftruncate(&file, 64 << 20).expect("its size");
    sending.send_with_next(file);
    let attached: Attached = served.expect(tag::ATTACH, &Attach { shared_memory: Some(64 << 20), stdio: false });
    assert!(attached.shares_memory);
    let large = Reserve {
        segments: vec![SegmentWanted { prot: DATA, align: 16, size: 100 << 20, content_size: 4 }],
        low: false,
        thread_local: None,
    };
    served.refused(tag::RESERVE, &large, "used up");
    let small = served.reserve(&[(DATA, 1 << 20, 4)]);
    served.finalize(&[(small.memory, Vec::new())], Vec::new());
}

#[test]
fn each_lane_has_a_thread_until_it_ends() {
    let served = Served::new();
    let it = served.reserve(&[(CODE, 8, 8)]);
    served.finalize(&[(it.memory, vec![&THREAD])], vec![image(it.segments[0].0, 8)]);
    let thread =
        |lane: u64| served.expect::<_, i32>(tag::RUN_PROGRAM, &(lane, it.segments[0].0, Vec::<Vec<u8>>::new()));
    let (one, two) = (thread(1), thread(2));
    assert_ne!(one, two);
    assert_eq!((thread(1), thread(2), thread(1)), (one, two, one));
    for lane in [1, 1, 77, u64::MAX] {
        served.ask::<_, ()>(tag::END_LANE, &lane);
    }
    let is_there = |thread: i32| std::path::Path::new(&format!("/proc/self/task/{thread}")).exists();
    let end = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while is_there(one) && std::time::Instant::now() < end {
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    assert!(!is_there(one) && is_there(two));
    assert_eq!(thread(2), two);
    thread(1);
}

#[test]
fn what_is_nothing_of_the_executors_is_an_error() {
    let served = Served::new();
    let text = served.peer.call(Tag(5), b"").expect("an answer").as_error().expect("an error").to_owned();
    assert!(text.contains("no handler is registered for tag-0x5"), "{text}");
    for tag in [tag::CLOSE, tag::UPDATE] {
        let answer: Result<(), String> = served.ask(tag, &(1u64, 0x1234u64));
        assert!(answer.is_err(), "{tag}");
    }
    let answer: Result<u64, String> = served.ask(tag::SYMBOL, &(1u64, 0u64, "main"));
    assert!(answer.is_err());
    for dylib in [0u32, 1, u32::MAX] {
        let answer: Result<(), String> = served.ask(tag::UNLOAD, &(1u64, dylib));
        assert!(answer.is_err(), "{dylib}");
    }
    let answer: Result<(), String> = served.ask(tag::SET_ARGUMENTS, &vec![b"a\0b".to_vec()]);
    assert!(answer.is_err_and(|text| text.contains("zero byte at offset 1")));
    let answer: Result<i32, String> = served.ask(tag::RUN_PROGRAM, &(1u64, 0u64, Vec::<Vec<u8>>::new()));
    assert!(answer.is_err_and(|text| text.contains("lies in no image")));
    let opened: Result<u32, String> = served.ask(tag::OPEN_LIBRARY, "no such library.so");
    assert!(opened.is_err_and(|text| text.contains("no such library.so")));
    let found: Vec<Option<orc_rt::service::down::Native>> =
        served.ask(tag::LOOKUP, &(Some(4711u32), vec!["malloc".to_owned()]));
    assert_eq!(found, [None], "there is no such library");
    let copied: Vec<Result<u64, String>> = served.ask(tag::COPY_DATA, &vec![(16u64, 8u64), (u64::MAX, u64::MAX)]);
    assert!(copied.len() == 2 && copied.iter().all(Result::is_err), "{copied:?}");
}
