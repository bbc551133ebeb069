//! Cases about what must go on working: what an executor and ordinary programs need.

use super::child::{Case, Place, call, denied, enter};
use orc_rt::memory::{Prot, Reach, Request, SegmentRequest, Slab};
use rustix::mm::{MapFlags, ProtFlags};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
};
use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, IoSlice, IoSliceMut, IsTerminal, Read, Write};
use std::mem::MaybeUninit;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixStream;
use std::ptr;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Barrier, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

pub(crate) const CASES: &[Case] = &[
    Case::new("threads run, wait for each other, and are limited as the first one", threads),
    Case::new("libraries of the system are opened, and called", libraries),
    Case::new("a library in memory is opened", library_in_memory),
    Case::new("code is written in one view of a file in memory and runs in the other", two_views),
    Case::new("code is written, made executable, and runs", slab),
    Case::new("an open connection sends and receives, descriptors too", connection),
    Case::new("an open TCP connection sends and receives", tcp),
    Case::new("standard streams are written as C does it", standard_streams),
    Case::new("time, random numbers and waiting", time_and_waiting),
    Case::new("signals are handled, on a stack of their own too", signals),
    Case::new("a process looks at itself", itself),
    Case::new("panics unwind", panics),
];

/// `mov $42, %eax; ret`
const CODE: [u8; 6] = [0xb8, 42, 0, 0, 0, 0xc3];

fn threads(place: &Place) {
    place.enter();
    let sum = Arc::new(Mutex::new(0));
    let barrier = Arc::new(Barrier::new(8));
    let secret = place.at("secret/text");
    let threads: Vec<_> = (0..8)
        .map(|number| {
            let (sum, barrier, secret) = (sum.clone(), barrier.clone(), secret.clone());
            thread::Builder::new().name(format!("worker {number}")).spawn(move || {
                barrier.wait();
                *sum.lock().expect("no panic") += number;
                denied("a socket", TcpListener::bind("127.0.0.1:0"), &[libc::EPERM]);
                denied("the secret", fs::read(secret), &[libc::EACCES]);
                denied("a program", std::process::Command::new("/bin/true").spawn(), &[libc::EPERM]);
            })
        })
        .collect();
    for thread in threads {
        thread.expect("a thread").join().expect("no panic");
    }
    assert_eq!(*sum.lock().expect("no panic"), 28);
    thread::scope(|scope| scope.spawn(|| mpsc::channel::<()>().1.try_recv().is_err()).join()).expect("no panic");
}

fn libraries(place: &Place) {
    place.enter();
    let open = |name: &str| {
        // SAFETY: initializers of the system's libraries may run anywhere.
        unsafe { libloading::Library::new(name) }.unwrap_or_else(|error| panic!("{name}: {error}"))
    };
    let math = open("libm.so.6");
    // SAFETY: the function of that name has this signature.
    let cosine: libloading::Symbol<'_, extern "C" fn(f64) -> f64> = unsafe { math.get("cos") }.expect("cos");
    assert!((cosine(0.0) - 1.0).abs() < 1e-9);
    let cpp = open("libstdc++.so.6");
    // SAFETY: operator new and operator delete have these signatures.
    let allocate: libloading::Symbol<'_, extern "C" fn(usize) -> *mut u8> = unsafe { cpp.get("_Znwm") }.expect("new");
    // SAFETY: as above.
    let free: libloading::Symbol<'_, extern "C" fn(*mut u8)> = unsafe { cpp.get("_ZdlPv") }.expect("delete");
    let object = allocate(64);
    assert!(!object.is_null());
    free(object);
}

/// A file in memory with `content`.
fn in_memory(content: &[u8]) -> File {
    let file = rustix::fs::memfd_create("in memory", rustix::fs::MemfdFlags::CLOEXEC).expect("a file in memory");
    let mut file = File::from(file);
    file.write_all(content).expect("written");
    file
}

fn library_in_memory(place: &Place) {
    place.enter();
    let maps = fs::read_to_string("/proc/self/maps").expect("its own mappings");
    let math = maps.lines().find_map(|line| line.split_whitespace().nth(5).filter(|path| path.contains("libgcc_s")));
    let file = in_memory(&fs::read(math.expect("the unwinder's library")).expect("allowed"));
    // SAFETY: as the system's own.
    let library = unsafe { libloading::Library::new(format!("/proc/self/fd/{}", file.as_raw_fd())) };
    let library = library.expect("a library");
    // SAFETY: the symbol is not used.
    assert!(unsafe { library.get::<extern "C" fn()>("_Unwind_Resume") }.is_ok());
}

fn run(code: *const u8) -> i32 {
    // SAFETY: the callers pass executable pages that begin with `CODE`, which has this signature.
    unsafe { std::mem::transmute::<*const u8, extern "C" fn() -> i32>(code)() }
}

fn two_views(place: &Place) {
    enter(&place.sandbox().max_memory(64 << 20));
    let file = in_memory(&[0; 4096]);
    let view = |prot| {
        // SAFETY: a new mapping at an address of the kernel's choice touches nothing that exists.
        unsafe { rustix::mm::mmap(ptr::null_mut(), 4096, prot, MapFlags::SHARED, &file, 0) }.expect("a view")
    };
    let writable: *mut u8 = view(ProtFlags::READ | ProtFlags::WRITE).cast();
    let executable: *const u8 = view(ProtFlags::READ | ProtFlags::EXEC).cast();
    // SAFETY: the view is ours, writable, and a page long.
    unsafe { ptr::copy_nonoverlapping(CODE.as_ptr(), writable, CODE.len()) };
    assert_eq!(run(executable), 42);
}

fn slab(place: &Place) {
    enter(&place.sandbox().max_memory(64 << 20));
    let slab = Slab::new();
    let segment = SegmentRequest { prot: Prot::READ | Prot::EXEC, align: 16, size: 6, content_size: 6 };
    for reach in [Reach::Near, Reach::Low] {
        let mut pages = slab.reserve(&Request { segments: &[segment], reach }).expect("pages");
        pages.bytes(0).copy_from_slice(&CODE);
        let code = pages.finalize().expect("executable");
        assert_eq!(run(ptr::with_exposed_provenance(code.address(0) as usize)), 42);
    }
}

fn connection(place: &Place) {
    let (mut here, mut there) = UnixStream::pair().expect("a pair");
    place.enter();
    here.set_read_timeout(Some(Duration::from_secs(5))).expect("a deadline");
    there.write_all(b"frame").expect("sent");
    let mut buffer = [0; 5];
    here.read_exact(&mut buffer).expect("received");
    assert_eq!(&buffer, b"frame");

    let file = in_memory(b"passed");
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut message = SendAncillaryBuffer::new(&mut space);
    let descriptors = [file.as_fd()];
    assert!(message.push(SendAncillaryMessage::ScmRights(&descriptors)));
    rustix::net::sendmsg(&there, &[IoSlice::new(b"x")], &mut message, SendFlags::NOSIGNAL).expect("sent");
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut message = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    rustix::net::recvmsg(&here, &mut [IoSliceMut::new(&mut byte)], &mut message, RecvFlags::CMSG_CLOEXEC)
        .expect("received");
    let passed = message.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    });
    assert_eq!(rustix::fs::fstat(passed.expect("a descriptor")).expect("a file").st_size, 6);

    let (mut one, mut other) = UnixStream::pair().expect("a pair of its own");
    one.write_all(b"!").expect("sent");
    other.read_exact(&mut byte).expect("received");
    there.shutdown(Shutdown::Both).expect("the end");
    assert_eq!(here.read(&mut buffer).expect("the end"), 0);
}

fn tcp(place: &Place) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("not limited yet");
    let mut here = TcpStream::connect(listener.local_addr().expect("an address")).expect("not limited yet");
    let (mut there, _) = listener.accept().expect("not limited yet");
    place.enter();
    here.set_nodelay(true).expect("an option");
    here.write_all(b"frame").expect("sent");
    let mut buffer = [0; 5];
    there.read_exact(&mut buffer).expect("received");
    assert_eq!((&buffer, here.peer_addr().is_ok()), (b"frame", true));
    here.shutdown(Shutdown::Write).expect("half the end");
    assert_eq!(there.read(&mut buffer).expect("the end"), 0);
}

fn standard_streams(place: &Place) {
    place.enter();
    assert!(!io::stdout().is_terminal(), "the test reads it");
    // SAFETY: constant strings are passed, and null, which flushes everything.
    let written = unsafe {
        (
            libc::printf(c"%d %s\n".as_ptr(), 7, c"words".as_ptr()),
            libc::puts(c"line".as_ptr()),
            libc::fflush(ptr::null_mut()),
        )
    };
    assert!(written.0 == 8 && written.1 >= 0 && written.2 == 0, "{written:?}");
    io::stderr().write_all(b"an error\n").expect("standard error");
}

fn time_and_waiting(place: &Place) {
    place.enter();
    let start = Instant::now();
    thread::sleep(Duration::from_millis(2));
    assert!(start.elapsed() >= Duration::from_millis(2));
    assert!(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).is_ok());
    let now = 86_400;
    let mut broken_down = MaybeUninit::<libc::tm>::zeroed();
    // SAFETY: both pointers are to variables of ours.
    assert!(!unsafe { libc::localtime_r(&raw const now, broken_down.as_mut_ptr()) }.is_null());
    let mut random = [0_u8; 32];
    let length = call(libc::SYS_getrandom, &[random.as_mut_ptr() as usize, 32, 0]).expect("random numbers");
    assert!(length == 32 && random != [0; 32]);
    // Hash maps ask for random numbers, too.
    assert_eq!(HashMap::from([(1, 2)]).get(&1), Some(&2));
    File::open("/dev/urandom").expect("random numbers").read_exact(&mut random).expect("read");
    let (receiver, mut sender) = io::pipe().expect("a pipe");
    sender.write_all(b"x").expect("written");
    let mut waiting = [rustix::event::PollFd::new(&receiver, rustix::event::PollFlags::IN)];
    assert_eq!(rustix::event::poll(&mut waiting, None).expect("polled"), 1);
    assert!(thread::available_parallelism().is_ok());
}

static CAUGHT: AtomicI32 = AtomicI32::new(0);

extern "C" fn caught(signal: i32) {
    CAUGHT.fetch_add(signal, Ordering::SeqCst);
}

fn signals(place: &Place) {
    place.enter();
    let mut stack = vec![0_u8; 64 << 10];
    let alternative = libc::stack_t { ss_sp: stack.as_mut_ptr().cast(), ss_flags: 0, ss_size: stack.len() };
    // SAFETY: an action without flags but these is all zeros; the stack outlives the function, and the handler only adds.
    unsafe {
        assert_eq!(libc::sigaltstack(&raw const alternative, ptr::null_mut()), 0);
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = caught as *const () as usize;
        action.sa_flags = libc::SA_ONSTACK | libc::SA_RESTART;
        assert_eq!(libc::sigaction(libc::SIGUSR1, &raw const action, ptr::null_mut()), 0);
        assert_eq!(libc::raise(libc::SIGUSR1), 0);
    }
    assert_eq!(CAUGHT.load(Ordering::SeqCst), libc::SIGUSR1);
    // SAFETY: this thread exists.
    let first = unsafe { libc::pthread_self() } as usize;
    let other = thread::spawn(move || {
        // SAFETY: the first thread lives as long as the process.
        unsafe { libc::pthread_kill(first as libc::pthread_t, libc::SIGUSR1) }
    });
    assert_eq!(other.join().expect("no panic"), 0);
    let start = Instant::now();
    while CAUGHT.load(Ordering::SeqCst) != 2 * libc::SIGUSR1 && start.elapsed() < Duration::from_secs(5) {
        thread::yield_now();
    }
    assert_eq!(CAUGHT.load(Ordering::SeqCst), 2 * libc::SIGUSR1);
}

fn itself(place: &Place) {
    place.enter();
    let death = rustix::process::parent_process_death_signal().expect("may be asked");
    assert_eq!(death, Some(rustix::process::Signal::KILL), "what was set before stays");
    assert!(fs::read_to_string("/proc/self/maps").expect("its mappings").contains("[stack]"));
    assert_eq!(fs::read_dir("/proc/self/task").expect("its threads").count(), 1);
    assert!(fs::read_dir("/proc/self/fd").expect("its descriptors").count() >= 3);
    let (sender, receiver) = mpsc::channel();
    let (gate, open) = io::pipe().expect("a pipe");
    let thread = thread::spawn(move || {
        sender.send(rustix::thread::gettid().as_raw_pid()).expect("the first thread listens");
        (&gate).read(&mut [0]).expect("the end")
    });
    let tid = receiver.recv().expect("a thread");
    let (mut head, mut length) = (0_usize, 0_usize);
    let list = [tid as usize, (&raw mut head) as usize, (&raw mut length) as usize];
    call(libc::SYS_get_robust_list, &list).expect("its thread's list");
    assert!(head != 0 && length > 0);
    assert!(fs::read_to_string(format!("/proc/self/task/{tid}/status")).is_ok());
    drop(open);
    thread.join().expect("no panic");
}

fn panics(place: &Place) {
    place.enter();
    let panicked = std::panic::catch_unwind(|| panic!("caught"));
    assert_eq!(panicked.expect_err("a panic").downcast_ref::<&str>(), Some(&"caught"));
}
