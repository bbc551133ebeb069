//! Cases about limits: memory, processor time, processes and threads.

use super::child::{Case, Place, call, denied, enter, errno};
use orc_rt::sandbox::{Part, SandboxError};
use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::unix::process::ExitStatusExt;
use std::thread;
use std::time::{Duration, Instant};

pub(crate) const CASES: &[Case] = &[
    Case::new("memory ends at its limit, and the program goes on", memory),
    Case::new("reserved addresses are no memory", reserved),
    Case::new("memory that is made read-only, or shared, is bounded too", tricks),
    Case::new("a file is no larger than memory", file_size),
    Case::new("writing beyond it ends the process", |place| {
        enter(&place.sandbox().max_memory(64 << 20).address_space(0));
        let file = OpenOptions::new().write(true).open(place.at("open/text")).expect("allowed");
        panic!("it came back: {:?}", file.set_len(1 << 30));
    })
    .by(libc::SIGXFSZ),
    Case::new("a limit below what is in use is an error", too_small),
    Case::new("processor time ends with a signal", |place| {
        enter(&place.sandbox().max_cpu(Duration::from_millis(300)));
        spin();
    })
    .by(libc::SIGXCPU)
    .for_root(false),
    Case::new("processor time of all threads counts, and cannot be ignored away", |place| {
        enter(&place.sandbox().max_cpu(Duration::from_secs(1)));
        // SAFETY: ignoring a signal involves no code of ours.
        unsafe { libc::signal(libc::SIGXCPU, libc::SIG_IGN) };
        thread::spawn(spin);
        spin();
    })
    .by(libc::SIGKILL)
    .for_root(false),
    Case::new("sleeping costs no processor time", |place| {
        enter(&place.sandbox().max_cpu(Duration::from_secs(1)));
        thread::sleep(Duration::from_millis(1500));
    })
    .for_root(false),
    Case::new("there are threads and no further processes", no_processes),
    Case::new("processes are bounded, and limited as their parent is", bounded_processes).for_root(false),
    Case::new("a bound on processes that root would not feel is an error", root_processes).for_root(true),
    Case::new("a process with threads is refused", threads_before),
    Case::new("descriptors are bounded", descriptors),
];

fn spin() {
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(20) {
        std::hint::spin_loop();
    }
    panic!("twenty seconds of processor time");
}

const READ: usize = libc::PROT_READ as usize;
const WRITE: usize = libc::PROT_WRITE as usize;
const PRIVATE: usize = (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS) as usize;
const MIB: usize = 1 << 20;

fn map(size: usize, prot: usize, flags: usize) -> io::Result<usize> {
    call(libc::SYS_mmap, &[0, size, prot, flags, usize::MAX, 0]).map(|address| address as usize)
}

/// Pieces of 4 MiB until there are no more, in MiB.
fn exhaust(mut take: impl FnMut(usize) -> io::Result<()>) -> usize {
    for count in 0..4096 {
        if let Err(error) = take(4 * MIB) {
            assert_eq!(error.raw_os_error(), Some(libc::ENOMEM), "{error}");
            return count * 4;
        }
    }
    panic!("16 GiB, and no end");
}

fn memory(place: &Place) {
    enter(&place.sandbox().max_memory(64 << 20));
    let mut held: Vec<Vec<u8>> = Vec::with_capacity(64);
    let taken = exhaust(|size| {
        let mut piece: Vec<u8> = Vec::new();
        piece.try_reserve_exact(size).map_err(|_| io::Error::from_raw_os_error(libc::ENOMEM))?;
        piece.resize(size, 1);
        held.push(piece);
        Ok(())
    });
    assert!((32..=64).contains(&taken), "{taken} MiB");
    drop(held);
    assert_eq!(vec![1_u8; 16 << 20].iter().map(|byte| usize::from(*byte)).sum::<usize>(), 16 << 20);
}

fn reserved(place: &Place) {
    enter(&place.sandbox().max_memory(64 << 20));
    let reserved = map(2 << 30, 0, PRIVATE | libc::MAP_NORESERVE as usize).expect("addresses cost nothing");
    call(libc::SYS_mprotect, &[reserved, 8 << 20, READ | WRITE]).expect("a part of them, within the limit");
    let much = call(libc::SYS_mprotect, &[reserved, 1 << 30, READ | WRITE]);
    assert_eq!(errno(much), libc::ENOMEM);
}

fn tricks(place: &Place) {
    enter(&place.sandbox().max_memory(64 << 20).address_space(256 << 20));
    denied("growing down", map(4096, READ | WRITE, PRIVATE | libc::MAP_GROWSDOWN as usize), &[libc::EPERM]);
    let shared = (libc::MAP_SHARED | libc::MAP_ANONYMOUS) as usize;
    let mut mapped = Vec::new();
    let taken = exhaust(|size| {
        mapped.push(map(size, READ | WRITE, shared)?);
        Ok(())
    });
    assert!((200..=320).contains(&taken), "{taken} MiB shared");
    for address in mapped {
        call(libc::SYS_munmap, &[address, 4 * MIB]).expect("given back");
    }
    let taken = exhaust(|size| {
        let address = map(size, READ | WRITE, PRIVATE)?;
        call(libc::SYS_mprotect, &[address, size, READ]).map(drop)
    });
    assert!((200..=320).contains(&taken), "{taken} MiB made read-only");
}

fn file_size(place: &Place) {
    enter(&place.sandbox().max_memory(64 << 20).address_space(0));
    // SAFETY: ignoring a signal involves no code of ours.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
    let file = OpenOptions::new().write(true).open(place.at("open/text")).expect("allowed");
    file.set_len(32 << 20).expect("within");
    denied("beyond", file.set_len(128 << 20), &[libc::EFBIG]);
    let memory = call(libc::SYS_memfd_create, &[c"memory".as_ptr() as usize, 0]).expect("a file in memory") as usize;
    denied("in memory", call(libc::SYS_ftruncate, &[memory, 128 << 20]), &[libc::EFBIG]);
}

fn too_small(place: &Place) {
    let refused = place.sandbox().max_memory(4096).enter();
    assert!(matches!(refused, Err(SandboxError::Memory { limit: 4096, used }) if used > 4096), "{refused:?}");
    // Nothing was changed.
    std::fs::read(place.at("secret/text")).expect("not limited");
}

fn no_processes(place: &Place) {
    place.enter();
    let ended = libc::SIGCHLD as usize;
    for (name, number, flags) in [
        ("fork", libc::SYS_fork, 0),
        ("vfork", libc::SYS_vfork, 0),
        ("clone", libc::SYS_clone, ended),
        ("clone with shared memory", libc::SYS_clone, libc::CLONE_VM as usize | ended),
        ("clone of a namespace", libc::SYS_clone, libc::CLONE_NEWUSER as usize | ended),
    ] {
        denied(name, call(number, &[flags]), &[libc::EPERM]);
    }
    let threads: Vec<_> = (0..16).map(|number| thread::spawn(move || number)).collect();
    assert_eq!(threads.into_iter().map(|thread| thread.join().expect("no panic")).sum::<usize>(), 120);
}

/// What a child of [`fork`] ends with, which must not allocate: 0 when all that it tries is denied.
fn limited_child(mut gate: &io::PipeReader) -> i32 {
    let socket = call(libc::SYS_socket, &[libc::AF_INET as usize, libc::SOCK_STREAM as usize]);
    let program = call(libc::SYS_execve, &[c"/bin/true".as_ptr() as usize, 0, 0]);
    let file = call(libc::SYS_open, &[c"/etc/passwd".as_ptr() as usize, 0, 0]);
    // Until the parent lets go.
    let _ = gate.read(&mut [0]);
    i32::from(socket.is_ok()) + 2 * i32::from(program.is_ok()) + 4 * i32::from(file.is_ok())
}

fn bounded_processes(place: &Place) {
    const BOUND: u32 = 8;
    let (gate, open) = io::pipe().expect("a pipe");
    enter(&place.sandbox().max_processes(BOUND));
    let mut children = Vec::new();
    let refused = loop {
        assert!(children.len() <= 64, "no end of children");
        // SAFETY: this process has one thread; the child makes system calls and ends.
        match unsafe { libc::fork() } {
            0 => {
                // The parent's end would keep the gate shut.
                let _ = call(libc::SYS_close, &[std::os::fd::AsRawFd::as_raw_fd(&open) as usize]);
                let code = limited_child(&gate);
                // SAFETY: ends this process at once.
                unsafe { libc::_exit(code) };
            }
            -1 => break io::Error::last_os_error(),
            child => children.push(child),
        }
    };
    assert_eq!(refused.raw_os_error(), Some(libc::EAGAIN));
    // Others of this user come and go while the test runs.
    assert!((1..=BOUND as usize).contains(&children.len()), "{} children", children.len());
    assert!(thread::Builder::new().spawn(|| ()).is_err(), "threads count as well");
    drop(open);
    for child in children {
        let mut status = 0;
        // SAFETY: the status is written to a variable of ours.
        assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
        assert_eq!(std::process::ExitStatus::from_raw(status).code(), Some(0));
    }
}

fn root_processes(place: &Place) {
    let refused = place.sandbox().max_processes(8).enter();
    assert!(matches!(refused, Err(SandboxError::Unsupported { part: Part::Processes, .. })), "{refused:?}");
    let entered = place.sandbox().max_processes(8).best_effort().enter().expect("the rest");
    assert_eq!(entered.not_enforced(), [Part::Processes]);
    denied("fork", call(libc::SYS_fork, &[]), &[libc::EPERM]);
}

fn threads_before(place: &Place) {
    let (gate, open) = io::pipe().expect("a pipe");
    let thread = thread::spawn(move || (&gate).read(&mut [0]).expect("the end"));
    let refused = place.sandbox().enter();
    assert!(matches!(refused, Err(SandboxError::Threads { count: 2 })), "{refused:?}");
    std::fs::read(place.at("secret/text")).expect("nothing was limited");
    drop(open);
    thread.join().expect("no panic");
    // The kernel may take a moment to forget a thread that was joined.
    let start = Instant::now();
    while matches!(place.sandbox().enter(), Err(SandboxError::Threads { .. })) {
        assert!(start.elapsed() < Duration::from_secs(5), "the thread stays");
    }
    denied("the secret", std::fs::read(place.at("secret/text")), &[libc::EACCES]);
}

fn descriptors(place: &Place) {
    place.enter();
    let mut held = Vec::new();
    let refused = loop {
        match std::fs::File::open("/dev/null") {
            Ok(file) => held.push(file),
            Err(error) => break error,
        }
        assert!(held.len() <= 2000, "no end of descriptors");
    };
    assert_eq!(refused.raw_os_error(), Some(libc::EMFILE));
}
