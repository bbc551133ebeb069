//! Do file descriptors arrive beside frames, in order, no more than allowed, and closed on exec?

use std::fs::File;
use std::io::{self, IoSlice, PipeReader, PipeWriter, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread;

use dispatch::frame::{Frame, Opcode, Seq};
use dispatch::transport::unix::{Descriptors, MAX_DESCRIPTORS, Unix};
use dispatch::transport::{RecvFrame, SendFrame, Transport};
use dispatch::{Caller, Connect, Limits, Registry, Reply, Setup, Tag};

fn frame(number: u64, size: usize) -> Frame<'static> {
    Frame::new(Opcode::Call, Seq(number), Tag(1), vec![number as u8; size])
}

type Halves = (<Unix as Transport>::Sender, <Unix as Transport>::Receiver);

fn connected() -> ((Halves, Descriptors), (Halves, Descriptors)) {
    let (a, b) = Unix::pair().unwrap();
    let handles = (a.descriptors(), b.descriptors());
    let limits = Limits::default();
    ((a.split(&limits).unwrap(), handles.0), (b.split(&limits).unwrap(), handles.1))
}

/// A file that says `text`.
fn saying(text: &str) -> OwnedFd {
    let (reader, mut writer) = io::pipe().unwrap();
    writer.write_all(text.as_bytes()).unwrap();
    reader.into()
}

fn said(descriptor: OwnedFd) -> String {
    let mut text = String::new();
    File::from(descriptor).read_to_string(&mut text).unwrap();
    text
}

#[test]
fn they_arrive_with_the_frame_and_in_order() {
    let (((mut sender, _r), outgoing), ((_s, mut receiver), incoming)) = connected();
    // Small ones, and such as leave in many pieces: a descriptor must not wait for the last.
    for (round, size) in [0, 1, 5000, 100_000].into_iter().enumerate() {
        let round = round as u64;
        sender.send(frame(round, size)).unwrap();
        outgoing.send_with_next(saying(&format!("first {round}")));
        outgoing.send_with_next(saying(&format!("second {round}")));
        sender.send(frame(100 + round, size)).unwrap();
        assert_eq!(receiver.recv().unwrap(), Some(frame(round, size)));
        assert_eq!(receiver.recv().unwrap(), Some(frame(100 + round, size)));
        let received = incoming.take_received();
        for descriptor in &received {
            let flags = rustix::io::fcntl_getfd(descriptor).unwrap();
            assert!(flags.contains(rustix::io::FdFlags::CLOEXEC), "a program started from here would inherit it");
        }
        let texts: Vec<String> = received.into_iter().map(said).collect();
        assert_eq!(texts, [format!("first {round}"), format!("second {round}")]);
        assert!(incoming.take_received().is_empty());
    }
}

#[test]
fn one_does_not_jump_into_a_frame_that_is_on_its_way() {
    let (((mut sender, _r), outgoing), ((_s, mut receiver), incoming)) = connected();
    let size = 16 << 20;
    outgoing.send_with_next(saying("sooner"));
    let sending = thread::spawn(move || {
        sender.send(frame(1, size)).unwrap();
        sender
    });
    // When its descriptor has left, the first frame has begun, and is stuck, for nobody receives.
    while format!("{outgoing:?}").contains("1 to send") {
        thread::yield_now();
    }
    outgoing.send_with_next(saying("later"));
    assert_eq!(receiver.recv().unwrap(), Some(frame(1, size)));
    assert_eq!(incoming.take_received().into_iter().map(said).collect::<Vec<_>>(), ["sooner"]);
    let mut sender = sending.join().unwrap();
    sender.send(frame(2, 0)).unwrap();
    assert_eq!(receiver.recv().unwrap(), Some(frame(2, 0)));
    assert_eq!(incoming.take_received().into_iter().map(said).collect::<Vec<_>>(), ["later"]);
}

#[test]
fn more_than_fit_leave_with_the_frames_after() {
    let (((mut sender, _r), outgoing), ((_s, mut receiver), incoming)) = connected();
    let count = 2 * MAX_DESCRIPTORS + 1;
    (0..count).for_each(|index| outgoing.send_with_next(saying(&index.to_string())));
    let mut texts = Vec::new();
    for (number, expected) in [MAX_DESCRIPTORS, MAX_DESCRIPTORS, 1, 0].into_iter().enumerate() {
        sender.send(frame(number as u64, 10)).unwrap();
        receiver.recv().unwrap().unwrap();
        let received = incoming.take_received();
        assert_eq!(received.len(), expected);
        texts.extend(received.into_iter().map(said));
    }
    assert_eq!(texts, (0..count).map(|index| index.to_string()).collect::<Vec<_>>());
}

/// Copies of a pipe's end: while any is open, the other end does not see an end.
fn copies(of: &PipeWriter, count: usize) -> Vec<OwnedFd> {
    (0..count).map(|_| of.as_fd().try_clone_to_owned().unwrap()).collect()
}

fn ends(mut reader: PipeReader) {
    let mut rest = Vec::new();
    reader.read_to_end(&mut rest).unwrap();
    assert!(rest.is_empty());
}

#[test]
fn a_peer_cannot_fill_this_process_with_descriptors() {
    let (here, mut there) = UnixStream::pair().unwrap();
    let here = Unix::new(here);
    let incoming = here.descriptors();
    let (_sender, mut receiver) = here.split(&Limits::default()).unwrap();
    let (reader, writer) = io::pipe().unwrap();
    // More in one message than there is room for, and then more messages: each with a byte of the frame.
    let bytes = frame(9, 100).to_bytes();
    for (index, byte) in bytes.iter().enumerate() {
        let passed = copies(&writer, if index < 4 { 40 } else { 1 });
        let borrowed: Vec<_> = passed.iter().map(AsFd::as_fd).collect();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(40))];
        let mut control = rustix::net::SendAncillaryBuffer::new(&mut space);
        assert!(control.push(rustix::net::SendAncillaryMessage::ScmRights(&borrowed)));
        let pieces = [IoSlice::new(std::slice::from_ref(byte))];
        rustix::net::sendmsg(&there, &pieces, &mut control, rustix::net::SendFlags::empty()).unwrap();
    }
    there.flush().unwrap();
    drop(writer);
    assert_eq!(receiver.recv().unwrap(), Some(frame(9, 100)));
    let kept = incoming.take_received();
    assert_eq!(kept.len(), MAX_DESCRIPTORS);
    drop(kept);
    ends(reader);
}

#[test]
fn those_that_never_left_are_closed_with_the_connection() {
    let (((sender, receiver), outgoing), there) = connected();
    let (reader, writer) = io::pipe().unwrap();
    copies(&writer, 3).into_iter().for_each(|descriptor| outgoing.send_with_next(descriptor));
    drop((sender, receiver, outgoing, there, writer));
    ends(reader);
}

#[test]
fn a_call_brings_its_file_along() {
    const READ: Tag = Tag(1);
    let (here, there) = Unix::pair().unwrap();
    let (outgoing, incoming) = (here.descriptors(), there.descriptors());
    let services = Registry::new();
    let read = move |_: &[u8]| match incoming.take_received().pop() {
        Some(descriptor) => Reply::copy_from(said(descriptor).as_bytes()),
        None => Reply::error("no descriptor came along"),
    };
    services.add(READ, read).unwrap();
    let _executor = Connect::executor(Setup::default()).handlers(Arc::new(services)).over(there).unwrap();
    let peer = Connect::controller().over(here).unwrap();
    for text in ["one", "another"] {
        outgoing.send_with_next(saying(text));
        assert_eq!(peer.call(READ, &[]).unwrap().bytes(), Ok(text.as_bytes()));
    }
}
