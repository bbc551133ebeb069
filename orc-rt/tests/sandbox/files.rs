//! Cases about files: what is allowed, and every way around it.

use super::child::{Case, Place, call, denied, enter};
use orc_rt::sandbox::SandboxError;
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, Timespec, Timestamps};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, symlink};
use std::path::Path;

pub(crate) const CASES: &[Case] = &[
    Case::new("what is allowed for reading is read, and nothing else", reading),
    Case::new("what is allowed for writing is written, made, renamed and removed", writing),
    Case::new("nothing is written where only reading is allowed, or nothing", not_writing),
    Case::new("a single file is allowed without its neighbours", single_file),
    Case::new("there is no way out by dots, links or other names", ways_out),
    Case::new("there is no way out by descriptors that were open before", descriptors),
    Case::new("there is no way out by moving", moving),
    Case::new("attributes of files stay as they are", attributes),
    Case::new("no file is made that would run as its owner", set_user_id),
    Case::new("no device and no socket is made", devices),
    Case::new("other processes cannot be looked at", other_processes),
    Case::new("a path that is not there is an error that names it", missing),
];

const EACCES: &[i32] = &[libc::EACCES];
const EPERM: &[i32] = &[libc::EPERM];
/// A move across what is allowed says that the two are unlike devices.
const APART: &[i32] = &[libc::EACCES, libc::EXDEV];

fn appending(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).open(path)
}

fn reading(place: &Place) {
    place.enter();
    assert_eq!(fs::read_to_string(place.at("read/text")).expect("allowed"), "read/text");
    assert_eq!(fs::read_dir(place.at("read")).expect("allowed").count(), 1);
    denied("the secret", fs::read(place.at("secret/text")), EACCES);
    denied("its folder", fs::read_dir(place.at("secret")), EACCES);
    for path in ["/etc/passwd", "/etc/shadow", "/etc/hostname", "/bin/sh", "/proc/1/environ", "/proc/kallsyms"] {
        if Path::new(path).exists() {
            denied(path, File::open(path), EACCES);
        }
    }
    denied("the root", fs::read_dir("/"), EACCES);
    let mut nothing = OpenOptions::new().read(true).write(true).open("/dev/null").expect("/dev/null");
    assert_eq!(nothing.write(b"x").expect("swallowed"), 1);
    assert_eq!(nothing.read(&mut [0]).expect("empty"), 0);
}

fn writing(place: &Place) {
    place.enter();
    let at = |path: &str| place.at("open").join(path);
    fs::write(at("new"), "new").expect("made");
    fs::create_dir(at("folder")).expect("a folder");
    fs::rename(at("new"), at("folder/renamed")).expect("renamed into another folder");
    assert_eq!(fs::read_to_string(at("folder/renamed")).expect("read back"), "new");
    writeln!(appending(&at("folder/renamed")).expect("appended"), "er").expect("written");
    fs::hard_link(at("folder/renamed"), at("folder/again")).expect("a link");
    let file = OpenOptions::new().write(true).open(at("folder/again")).expect("opened");
    file.set_len(2).expect("cut");
    rustix::fs::flock(&file, rustix::fs::FlockOperation::LockExclusive).expect("locked");
    file.sync_all().expect("on disk");
    assert_eq!(fs::read_to_string(at("folder/renamed")).expect("read back"), "ne");
    fs::write(at("text"), "shorter").expect("cut and written");
    let mut copy = File::create(at("copy")).expect("made");
    io::copy(&mut File::open(at("text")).expect("opened"), &mut copy).expect("copied");
    assert_eq!(fs::read_to_string(at("copy")).expect("read back"), "shorter");
    symlink("text", at("symbolic")).expect("a symbolic link");
    assert_eq!(fs::read_to_string(at("symbolic")).expect("followed"), "shorter");
    rustix::fs::mknodat(CWD, at("pipe"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("a named pipe");
    for path in ["folder/again", "folder/renamed", "symbolic", "pipe", "copy"] {
        fs::remove_file(at(path)).expect("removed");
    }
    fs::remove_dir(at("folder")).expect("removed");
}

fn not_writing(place: &Place) {
    place.enter();
    for path in ["read/text", "secret/text", "alone", "/lib/x86_64-linux-gnu/libc.so.6"] {
        let path = place.at(path);
        if !path.exists() {
            continue;
        }
        let what = path.display().to_string();
        denied(&what, OpenOptions::new().write(true).open(&path), EACCES);
        denied(&what, OpenOptions::new().read(true).write(true).open(&path), EACCES);
        denied(&what, appending(&path), EACCES);
        denied(&what, File::create(&path), EACCES);
        denied(&what, fs::remove_file(&path), EACCES);
        let cut = OFlags::RDONLY | OFlags::TRUNC;
        let cut = rustix::fs::open(&path, cut, Mode::empty()).map_err(io::Error::from);
        denied(&what, cut, &[libc::EACCES, libc::EPERM]);
        let name = std::ffi::CString::new(path.to_string_lossy().into_owned()).expect("a name");
        denied(&what, call(libc::SYS_truncate, &[name.as_ptr() as usize, 0]), &[libc::EACCES, libc::EPERM]);
    }
    for folder in ["read", "secret", ""] {
        let at = |path: &str| place.at(folder).join(path);
        denied(folder, fs::write(at("new"), "x"), EACCES);
        denied(folder, fs::create_dir(at("new")), EACCES);
        denied(folder, symlink("x", at("new")), EACCES);
        let nameless = OFlags::RDWR | OFlags::TMPFILE;
        let nameless = rustix::fs::open(place.at(folder), nameless, Mode::RUSR).map_err(io::Error::from);
        denied(folder, nameless, EACCES);
    }
    denied("the folder of temporary files", fs::write(std::env::temp_dir().join("orc-rt-new"), "x"), EACCES);
    denied("shared memory", fs::write("/dev/shm/orc-rt-new", "x"), EACCES);
    denied("this process", fs::write("/proc/self/comm", "x"), EACCES);
    denied("this process's memory", OpenOptions::new().write(true).open("/proc/self/mem"), EACCES);
    assert_eq!(fs::read_to_string(place.at("read/text")).expect("still there"), "read/text");
}

fn single_file(place: &Place) {
    enter(&orc_rt::sandbox::Sandbox::new().allow_write(place.at("alone")).allow_read(place.at("secret/text")));
    fs::write(place.at("alone"), "changed").expect("allowed");
    assert_eq!(fs::read_to_string(place.at("alone")).expect("allowed"), "changed");
    assert_eq!(fs::read_to_string(place.at("secret/text")).expect("allowed"), "secret/text");
    denied("a neighbour", fs::read(place.at("read/text")), EACCES);
    denied("its folder", fs::read_dir(place.at("")), EACCES);
    denied("replacing it", fs::remove_file(place.at("alone")), EACCES);
    denied("a file beside it", fs::write(place.at("beside"), "x"), EACCES);
}

fn ways_out(place: &Place) {
    // The working folder is the place.
    place.enter();
    let secret = place.at("secret/text");
    denied("dots", fs::read(place.at("open/../secret/text")), EACCES);
    denied("dots from the working folder", fs::read("open/../secret/text"), EACCES);
    denied("the working folder", fs::read("secret/text"), EACCES);
    denied("a symbolic link that was there", fs::read(place.at("open/link")), EACCES);
    denied("writing through it", fs::write(place.at("open/link"), "x"), EACCES);
    symlink(&secret, place.at("open/mine")).expect("a link may point anywhere");
    denied("a symbolic link of its own", fs::read(place.at("open/mine")), EACCES);
    denied("a hard link", fs::hard_link(&secret, place.at("open/hard")), APART);
    let by_root = |process: &str| format!("/proc/{process}/root{}", secret.display());
    denied("the root of this process", fs::read(by_root("self")), EACCES);
    denied("the root of the thread", fs::read(by_root("thread-self")), EACCES);
    denied("the working folder of this process", fs::read("/proc/self/cwd/secret/text"), EACCES);
    denied("the root of another process", fs::read(by_root("1")), EACCES);
    std::env::set_current_dir(place.at("secret")).expect("a folder may be stood in");
    denied("standing in the folder", fs::read("text"), EACCES);
    denied("listing it", fs::read_dir("."), EACCES);
    denied("a new root", rustix::process::chroot(place.at("secret")).map_err(io::Error::from), EPERM);
}

fn descriptors(place: &Place) {
    let folder = File::open(place.at("secret")).expect("not limited yet");
    let mut file = File::open(place.at("secret/text")).expect("not limited yet");
    place.enter();
    let inside = |name: &str, flags| rustix::fs::openat(&folder, name, flags, Mode::RUSR).map_err(io::Error::from);
    denied("a file below an open folder", inside("text", OFlags::RDONLY), EACCES);
    denied("a new one", inside("new", OFlags::WRONLY | OFlags::CREATE), EACCES);
    let again = format!("/proc/self/fd/{}", file.as_raw_fd());
    denied("the same file for writing", OpenOptions::new().write(true).open(&again), EACCES);
    denied("the same file once more", File::open(&again), EACCES);
    let named = rustix::fs::linkat(CWD, &again, CWD, place.at("open/named"), AtFlags::SYMLINK_FOLLOW);
    denied("a name for it", named.map_err(io::Error::from), APART);
    let path = rustix::fs::openat(&folder, "text", OFlags::PATH, Mode::empty()).expect("a path is no access");
    let reopened = File::open(format!("/proc/self/fd/{}", path.as_raw_fd()));
    denied("a path made into a file", reopened, EACCES);
    let mut text = String::new();
    file.read_to_string(&mut text).expect("what is open stays open");
    assert_eq!(text, "secret/text");
}

fn moving(place: &Place) {
    place.enter();
    denied("out", fs::rename(place.at("open/text"), place.at("secret/stolen")), APART);
    denied("in", fs::rename(place.at("secret/text"), place.at("open/stolen")), APART);
    denied("a folder in", fs::rename(place.at("secret"), place.at("open/stolen")), APART);
    denied("the allowed folder itself", fs::rename(place.at("open"), place.at("elsewhere")), APART);
    let (one, other) = (place.at("open/below"), place.at("secret"));
    let exchanged = rustix::fs::renameat_with(CWD, &one, CWD, &other, rustix::fs::RenameFlags::EXCHANGE);
    denied("exchanged", exchanged.map_err(io::Error::from), APART);
    fs::rename(place.at("open/text"), place.at("open/below/text")).expect("inside");
}

fn attributes(place: &Place) {
    let open = File::open(place.at("secret/text")).expect("not limited yet");
    place.enter();
    for path in ["open/text", "read/text", "secret/text"] {
        let mode = PermissionsExt::from_mode(0o777);
        denied(path, fs::set_permissions(place.at(path), mode), EPERM);
        denied(path, std::os::unix::fs::chown(place.at(path), Some(1), None), EPERM);
        let long_ago = Timespec { tv_sec: 1, tv_nsec: 0 };
        let times = Timestamps { last_access: long_ago, last_modification: long_ago };
        let touched = rustix::fs::utimensat(CWD, place.at(path), &times, AtFlags::empty());
        denied(path, touched.map_err(io::Error::from), EPERM);
        let attribute = rustix::fs::setxattr(place.at(path), "user.x", b"x", rustix::fs::XattrFlags::empty());
        denied(path, attribute.map_err(io::Error::from), EPERM);
    }
    // It gives the copy the mode of the original, by a call of its own.
    denied("a copy with its mode", fs::copy(place.at("read/text"), place.at("open/copy")), EPERM);
    denied("by descriptor", open.set_permissions(PermissionsExt::from_mode(0o777)), EPERM);
    let mode = fs::metadata(place.at("secret/text")).expect("what a file is may be asked").permissions().mode();
    assert_ne!(mode & 0o777, 0o777);
}

fn set_user_id(place: &Place) {
    place.enter();
    let make =
        |mode: u32| OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(place.at("open/p"));
    denied("set-user-id", make(0o4755), EPERM);
    denied("set-group-id", make(0o2755), EPERM);
    make(0o755).expect("an ordinary one");
    let made = rustix::fs::mknodat(CWD, place.at("open/q"), FileType::RegularFile, Mode::RWXU | Mode::SUID, 0);
    denied("by mknod", made.map_err(io::Error::from), EPERM);
}

fn devices(place: &Place) {
    place.enter();
    for kind in [FileType::CharacterDevice, FileType::BlockDevice, FileType::Socket] {
        let made = rustix::fs::mknodat(CWD, place.at("open/node"), kind, Mode::RWXU, rustix::fs::makedev(1, 3));
        // Without rights the system denies a device before Landlock is asked.
        denied(&format!("{kind:?}"), made.map_err(io::Error::from), &[libc::EACCES, libc::EPERM]);
    }
    for device in ["/dev/kmsg", "/dev/mem", "/dev/tty", "/dev/ptmx", "/dev/kvm", "/dev/fuse"] {
        if Path::new(device).exists() {
            denied(device, File::open(device), EACCES);
        }
    }
}

fn other_processes(place: &Place) {
    let parent = rustix::process::getppid().expect("the test").as_raw_pid();
    place.enter();
    for file in ["status", "environ", "maps", "mem", "fd/0", "cmdline"] {
        denied(file, File::open(format!("/proc/{parent}/{file}")), EACCES);
    }
    for file in ["status", "maps", "cmdline"] {
        File::open(format!("/proc/self/{file}")).expect("its own");
    }
}

fn missing(place: &Place) {
    let path = place.at("not there");
    for sandbox in [place.sandbox().allow_read(&path), place.sandbox().allow_write(&path)] {
        let refused = sandbox.enter().expect_err("a path that is not there");
        assert!(matches!(&refused, SandboxError::Path { path: named, .. } if *named == path), "{refused:?}");
        assert!(refused.to_string().contains(&path.display().to_string()), "{refused}");
    }
}
