//! Cases about system calls: network, programs, other processes, the kernel's rarer doors.

use super::child::{Case, Place, call, denied, enter, errno};
use orc_rt::sandbox::{Sandbox, SandboxError};
use std::ffi::CString;
use std::io;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::process::Command;
use std::ptr;

const SIGSYS: i32 = libc::SIGSYS;

pub(crate) const CASES: &[Case] = &[
    Case::new("there is no network", network),
    Case::new("a listener that is open accepts nobody", listener),
    Case::new("an open socket that could send to anybody is refused", open_datagram),
    Case::new("no program is started", programs),
    Case::new("no other process is touched", other_processes),
    Case::new("memory is not writable and executable at once", writable_and_executable),
    Case::new("what was given up does not come back", given_up),
    Case::new("rarely used doors of the kernel are closed", doors),
    Case::new("a terminal cannot be typed into", terminal),
    Case::new("calls that a filter cannot look into are as if the kernel lacked them", absent),
    Case::new("core dumps are off", core_dumps),
    Case::new("a crash leaves no core", |place| {
        place.enter();
        std::process::abort();
    })
    .by(libc::SIGABRT),
    Case::new("a mount ends the process", |place| fatal(place, libc::SYS_mount)).by(SIGSYS),
    Case::new("loading a module ends the process", |place| fatal(place, libc::SYS_init_module)).by(SIGSYS),
    Case::new("a file handle ends the process", |place| fatal(place, libc::SYS_open_by_handle_at)).by(SIGSYS),
    Case::new("a program for the kernel ends the process", |place| fatal(place, libc::SYS_bpf)).by(SIGSYS),
    Case::new("another namespace ends the process", |place| fatal(place, libc::SYS_setns)).by(SIGSYS),
    Case::new("a call of the x32 interface ends the process", |place| fatal(place, 0x4000_0000 | libc::SYS_getpid))
        .by(SIGSYS),
    Case::new("a call of the 32-bit interface ends the process", thirty_two_bits).by(SIGSYS),
    Case::new("a sandbox is entered once", twice),
];

const EPERM: &[i32] = &[libc::EPERM];

fn network(place: &Place) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("not limited yet");
    let address = listener.local_addr().expect("an address");
    drop(listener);
    place.enter();
    let families =
        [libc::AF_INET, libc::AF_INET6, libc::AF_UNIX, libc::AF_NETLINK, libc::AF_PACKET, libc::AF_VSOCK, libc::AF_ALG];
    for family in families {
        for kind in [libc::SOCK_STREAM, libc::SOCK_DGRAM, libc::SOCK_RAW] {
            let made = call(libc::SYS_socket, &[family as usize, kind as usize]);
            denied(&format!("family {family}, kind {kind}"), made, EPERM);
        }
    }
    denied("a client", TcpStream::connect(address), EPERM);
    denied("a server", TcpListener::bind("127.0.0.1:0"), EPERM);
    denied("datagrams", UdpSocket::bind("127.0.0.1:0"), EPERM);
    denied("a local client", UnixStream::connect("/run/systemd/journal/stdout"), EPERM);
    denied("a local server", UnixListener::bind(place.at("open/socket")), EPERM);
    denied("local datagrams", UnixDatagram::pair(), EPERM);
    for number in [libc::SYS_connect, libc::SYS_bind, libc::SYS_listen, libc::SYS_accept, libc::SYS_accept4] {
        denied(&format!("call {number}"), call(number, &[0, 0, 0]), EPERM);
    }
}

fn listener(place: &Place) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("not limited yet");
    let _waiting = TcpStream::connect(listener.local_addr().expect("an address")).expect("not limited yet");
    place.enter();
    denied("a connection that waits", listener.accept(), EPERM);
}

fn open_datagram(place: &Place) {
    let (socket, _) = UnixDatagram::pair().expect("a pair");
    let udp = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let refused = place.sandbox().enter().expect_err("an open datagram socket");
    let first = socket.as_raw_fd();
    assert!(matches!(refused, SandboxError::Socket { descriptor, .. } if descriptor == first), "{refused}");
    drop(socket);
    let refused = place.sandbox().enter().expect_err("the other one");
    assert!(refused.to_string().contains("internet datagram"), "{refused}");
    drop(udp);
    place.enter();
}

fn programs(place: &Place) {
    let shell = std::fs::File::open("/bin/sh").expect("a shell");
    place.enter();
    let path = c"/bin/true".as_ptr() as usize;
    let arguments = [path, 0];
    denied("execve", call(libc::SYS_execve, &[path, arguments.as_ptr() as usize, 0]), EPERM);
    let empty = c"".as_ptr() as usize;
    let by_descriptor =
        [shell.as_raw_fd() as usize, empty, arguments.as_ptr() as usize, 0, libc::AT_EMPTY_PATH as usize];
    denied("execveat", call(libc::SYS_execveat, &by_descriptor), EPERM);
    denied("Command", Command::new("/bin/true").spawn(), EPERM);
    // SAFETY: a constant string is passed.
    let status = unsafe { libc::system(c"exit 0".as_ptr()) };
    assert_ne!(status, 0, "system() ran something");
}

fn other_processes(place: &Place) {
    let parent = rustix::process::getppid().expect("the test");
    let raw = parent.as_raw_pid() as usize;
    place.enter();
    let thread = rustix::thread::gettid().as_raw_pid() as usize;
    let own = rustix::process::getpid().as_raw_pid() as usize;
    denied("kill", rustix::process::test_kill_process(parent).map_err(io::Error::from), EPERM);
    denied("tgkill", call(libc::SYS_tgkill, &[raw, raw, 0]), EPERM);
    denied("tkill", call(libc::SYS_tkill, &[raw, 0]), EPERM);
    call(libc::SYS_kill, &[own, 0]).expect("itself");
    call(libc::SYS_tgkill, &[own, thread, 0]).expect("its thread");
    denied("pidfd", call(libc::SYS_pidfd_open, &[raw, 0]), EPERM);
    for request in [libc::PTRACE_TRACEME, libc::PTRACE_ATTACH, libc::PTRACE_SEIZE] {
        denied("ptrace", call(libc::SYS_ptrace, &[request as usize, raw]), EPERM);
    }
    denied("its memory", call(libc::SYS_process_vm_readv, &[raw]), EPERM);
    denied("its priority", call(libc::SYS_setpriority, &[0, raw, 19]), EPERM);
    denied("its processors", call(libc::SYS_sched_setaffinity, &[raw, 0, 0]), EPERM);
    denied("its limits", call(libc::SYS_prlimit64, &[raw, 0, 0, 0]), EPERM);
    let owner = rustix::io::Errno::PERM;
    denied("signals by descriptor", call(libc::SYS_fcntl, &[0, libc::F_SETOWN as usize, raw]), &[owner.raw_os_error()]);
    denied("shared memory", call(libc::SYS_shmget, &[0, 4096, 0o600]), EPERM);
    denied("message queues", call(libc::SYS_mq_open, &[c"/x".as_ptr() as usize, libc::O_CREAT as usize]), EPERM);
}

fn writable_and_executable(place: &Place) {
    place.enter();
    let prot = |prot: i32| prot as usize;
    let flags = (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS) as usize;
    let map = |p: usize, flags: usize| call(libc::SYS_mmap, &[0, 4096, p, flags, usize::MAX, 0]);
    let (read, write, exec) = (prot(libc::PROT_READ), prot(libc::PROT_WRITE), prot(libc::PROT_EXEC));
    denied("mapped", map(read | write | exec, flags), EPERM);
    denied("mapped without reading", map(write | exec, flags), EPERM);
    denied("mapped, shared", map(read | write | exec, (libc::MAP_SHARED | libc::MAP_ANONYMOUS) as usize), EPERM);
    let page = map(read | write, flags).expect("writable") as usize;
    denied("changed", call(libc::SYS_mprotect, &[page, 4096, read | write | exec]), EPERM);
    denied("changed with a key", call(libc::SYS_pkey_mprotect, &[page, 4096, write | exec, usize::MAX]), EPERM);
    denied("first one, then the other", call(libc::SYS_mprotect, &[page, 4096, read | exec]), EPERM);
    denied("the same with a key", call(libc::SYS_pkey_mprotect, &[page, 4096, exec, usize::MAX]), EPERM);
    // READ_IMPLIES_EXEC makes every readable page executable.
    denied("by personality", call(libc::SYS_personality, &[0x0040_0000]), EPERM);
    denied("by shmat", call(libc::SYS_shmat, &[0, 0, libc::SHM_EXEC as usize]), EPERM);
    denied("by remap_file_pages", call(libc::SYS_remap_file_pages, &[page, 4096, 0, 0, 0]), EPERM);
}

fn given_up(place: &Place) {
    enter(&place.sandbox().max_memory(256 << 20));
    let capabilities = rustix::thread::capabilities(None).expect("may be asked");
    assert!(capabilities.effective.is_empty() && capabilities.permitted.is_empty(), "{capabilities:?}");
    assert!(rustix::thread::no_new_privs().expect("may be asked"));
    let unlimited = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
    let address = (&raw const unlimited) as usize;
    for resource in [libc::RLIMIT_DATA, libc::RLIMIT_AS, libc::RLIMIT_CPU, libc::RLIMIT_CORE] {
        denied("setrlimit", call(libc::SYS_setrlimit, &[resource as usize, address]), EPERM);
        denied("prlimit64", call(libc::SYS_prlimit64, &[0, resource as usize, address, 0]), EPERM);
    }
    denied("another user", call(libc::SYS_setuid, &[0]), EPERM);
    denied("capset", call(libc::SYS_capset, &[0, 0]), EPERM);
    for (option, value) in [
        (libc::PR_SET_DUMPABLE, 1),
        (libc::PR_SET_PDEATHSIG, 0),
        (libc::PR_SET_SECCOMP, 2),
        (libc::PR_SET_CHILD_SUBREAPER, 1),
        (libc::PR_SET_PTRACER, usize::MAX),
    ] {
        denied(&format!("prctl {option}"), call(libc::SYS_prctl, &[option as usize, value, 0, 0, 0]), EPERM);
    }
    denied("another filter", call(libc::SYS_seccomp, &[1, 0, 0]), EPERM);
    denied("another session", call(libc::SYS_setsid, &[]), EPERM);
}

fn doors(place: &Place) {
    place.enter();
    for (name, number) in [
        ("io_uring_setup", libc::SYS_io_uring_setup),
        ("io_uring_enter", libc::SYS_io_uring_enter),
        ("userfaultfd", libc::SYS_userfaultfd),
        ("perf_event_open", libc::SYS_perf_event_open),
        ("keyctl", libc::SYS_keyctl),
        ("add_key", libc::SYS_add_key),
        ("unshare", libc::SYS_unshare),
        ("chroot", libc::SYS_chroot),
        ("kcmp", libc::SYS_kcmp),
        ("syslog", libc::SYS_syslog),
        ("sethostname", libc::SYS_sethostname),
        ("clock_settime", libc::SYS_clock_settime),
        ("quotactl", libc::SYS_quotactl),
        ("fanotify_init", libc::SYS_fanotify_init),
        ("inotify_init1", libc::SYS_inotify_init1),
        ("name_to_handle_at", libc::SYS_name_to_handle_at),
        ("io_setup", libc::SYS_io_setup),
        ("vmsplice", libc::SYS_vmsplice),
        ("modify_ldt", libc::SYS_modify_ldt),
        ("move_pages", libc::SYS_move_pages),
        ("lookup_dcookie", libc::SYS_lookup_dcookie),
    ] {
        denied(name, call(number, &[0; 6]), EPERM);
    }
}

fn terminal(place: &Place) {
    place.enter();
    let byte = b"x";
    for request in [libc::TIOCSTI, libc::TIOCLINUX, libc::TIOCSCTTY, libc::TCSETS, libc::TIOCSTI | 1 << 32] {
        denied("ioctl", call(libc::SYS_ioctl, &[0, request as usize, byte.as_ptr() as usize]), EPERM);
    }
    // Standard input is no terminal here; that it may be asked is the point.
    assert_eq!(errno(call(libc::SYS_ioctl, &[0, libc::TCGETS as usize, 0])), libc::ENOTTY);
}

fn absent(place: &Place) {
    place.enter();
    let path = CString::new(place.at("open/text").to_string_lossy().into_owned()).expect("a name");
    let how = [0_u64; 3];
    let opened = [libc::AT_FDCWD as usize, path.as_ptr() as usize, how.as_ptr() as usize, size_of_val(&how)];
    denied("openat2", call(libc::SYS_openat2, &opened), &[libc::ENOSYS]);
    denied("clone3", call(libc::SYS_clone3, &[ptr::null::<u8>() as usize, 0]), &[libc::ENOSYS]);
    denied("Landlock", call(libc::SYS_landlock_create_ruleset, &[0, 0, 1]), &[libc::ENOSYS]);
    denied("secret memory", call(libc::SYS_memfd_secret, &[0]), &[libc::ENOSYS]);
    denied("a call of a later kernel", call(1000, &[]), &[libc::ENOSYS]);
}

fn core_dumps(place: &Place) {
    place.enter();
    let limit = rustix::process::getrlimit(rustix::process::Resource::Core);
    assert_eq!((limit.current, limit.maximum), (Some(0), Some(0)));
    let dumpable = rustix::process::dumpable_behavior().expect("may be asked");
    assert_eq!(dumpable, rustix::process::DumpableBehavior::NotDumpable);
}

fn fatal(place: &Place, number: i64) {
    place.enter();
    let answer = call(number, &[0; 6]);
    panic!("call {number} came back: {answer:?}");
}

fn thirty_two_bits(place: &Place) {
    place.enter();
    let answer: u64;
    // SAFETY: the instruction asks for call 20 of the 32-bit interface, getpid, which takes nothing and changes rax and, in older kernels, r8 to
    // r11; here it ends the process.
    unsafe {
        std::arch::asm!("int 0x80", inlateout("rax") 20_u64 => answer, out("r8") _, out("r9") _, out("r10") _, out("r11") _);
    }
    panic!("it came back: {answer}");
}

fn twice(place: &Place) {
    place.enter();
    let again = Sandbox::new().enter();
    assert!(matches!(again, Err(SandboxError::Unsupported { .. })), "{again:?}");
}
