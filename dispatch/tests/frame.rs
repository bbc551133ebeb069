//! Which bytes are frames?

use dispatch::Tag;
use dispatch::frame::{Frame, FrameError, HEADER_SIZE, Header, Limits, Opcode, Seq};
use dispatch::transport::stream::Stream;
use dispatch::transport::{RecvFrame, Transport, TransportError};
use proptest::collection::vec;
use proptest::prelude::*;

fn frame() -> impl Strategy<Value = Frame<'static>> {
    let opcode =
        prop::sample::select(vec![Opcode::Setup, Opcode::Hangup, Opcode::Result, Opcode::Call, Opcode::Notice]);
    (opcode, any::<u64>(), any::<u64>(), vec(any::<u8>(), 0..100))
        .prop_map(|(opcode, seq, tag, payload)| Frame::new(opcode, Seq(seq), Tag(tag), payload))
}

/// The frames that a stream of these bytes gives, and what ends them.
fn read_all(bytes: &[u8], limits: &Limits) -> (Vec<Frame<'static>>, Option<TransportError>) {
    let stream = Stream::new(std::io::Cursor::new(bytes.to_vec()), std::io::sink());
    let (_sender, mut receiver) = stream.split(limits).unwrap();
    let mut frames = Vec::new();
    loop {
        match receiver.recv() {
            Ok(Some(frame)) => frames.push(frame),
            Ok(None) => return (frames, None),
            Err(error) => {
                assert!(matches!(receiver.recv(), Ok(None)), "behind an error there is no frame");
                return (frames, Some(error));
            }
        }
    }
}

proptest! {
    #[test]
    fn frames_come_back_from_a_stream(frames in vec(frame(), 0..10)) {
        let bytes: Vec<u8> = frames.iter().flat_map(Frame::to_bytes).collect();
        let (read, error) = read_all(&bytes, &Limits::default());
        prop_assert!(error.is_none(), "{error:?}");
        prop_assert_eq!(read, frames);
    }

    #[test]
    fn a_stream_that_ends_early_says_so(frames in vec(frame(), 1..5), cut in any::<prop::sample::Index>()) {
        let bytes: Vec<u8> = frames.iter().flat_map(Frame::to_bytes).collect();
        let cut = cut.index(bytes.len());
        let (read, error) = read_all(&bytes[..cut], &Limits::default());
        let whole: usize = read.iter().map(|frame| frame.size() as usize).sum();
        prop_assert_eq!(&read[..], &frames[..read.len()]);
        match error {
            None => prop_assert_eq!(whole, cut),
            Some(TransportError::Frame(FrameError::Truncated { .. })) => prop_assert!(whole < cut),
            Some(error) => prop_assert!(false, "{error}"),
        }
    }

    #[test]
    fn changed_frames_are_frames_or_errors(original in frame(), flips in vec((any::<prop::sample::Index>(), 1u8..), 1..4)) {
        let mut bytes = original.to_bytes();
        for (at, mask) in flips {
            let at = at.index(bytes.len());
            bytes[at] ^= mask;
        }
        let limits = Limits { max_frame: 4096, ..Limits::default() };
        match Frame::from_bytes(&bytes, &limits) {
            Ok(frame) => prop_assert_eq!(frame.to_bytes(), bytes.clone()),
            Err(error) => prop_assert!(!error.to_string().is_empty()),
        }
        read_all(&bytes, &limits);
    }

    #[test]
    fn random_bytes_are_frames_or_errors(bytes in vec(any::<u8>(), 0..300)) {
        let (read, error) = read_all(&bytes, &Limits::default());
        let whole: usize = read.iter().map(|frame| frame.size() as usize).sum();
        prop_assert!(whole <= bytes.len());
        prop_assert!(error.is_some() || whole == bytes.len());
    }
}

#[test]
fn the_header_is_that_of_llvm() {
    let frame = Frame::new(Opcode::Call, Seq(0x0102), Tag(0x7fff_0000_1000), b"abc".as_slice());
    #[rustfmt::skip]
    let expected = [
        35, 0, 0, 0, 0, 0, 0, 0,
        3, 0, 0, 0, 0, 0, 0, 0,
        2, 1, 0, 0, 0, 0, 0, 0,
        0x00, 0x10, 0, 0, 0xff, 0x7f, 0, 0,
        b'a', b'b', b'c',
    ];
    assert_eq!(frame.to_bytes(), expected);
    let opcodes = [Opcode::Setup, Opcode::Hangup, Opcode::Result, Opcode::Call, Opcode::Notice];
    assert_eq!(opcodes.map(|opcode| opcode as u64), [0, 1, 2, 3, 4]);
}

#[test]
fn a_header_is_checked_before_its_payload_is_awaited() {
    let header = |size: u64, opcode: u64| {
        let mut bytes = [0; HEADER_SIZE];
        bytes[..8].copy_from_slice(&size.to_le_bytes());
        bytes[8..16].copy_from_slice(&opcode.to_le_bytes());
        bytes
    };
    let limits = Limits { max_frame: 1000, ..Limits::default() };
    let decode = |size, opcode| Header::decode(&header(size, opcode), &limits).map(|header| header.payload_size());
    assert_eq!(decode(32, 0), Ok(0));
    assert_eq!(decode(1000, 3), Ok(968));
    assert_eq!(decode(1001, 3), Err(FrameError::TooLarge { size: 1001, limit: 1000 }));
    assert_eq!(decode(u64::MAX, 3), Err(FrameError::TooLarge { size: u64::MAX, limit: 1000 }));
    assert_eq!(decode(31, 3), Err(FrameError::TooSmall { size: 31 }));
    assert_eq!(decode(0, 3), Err(FrameError::TooSmall { size: 0 }));
    // Kinds of frames have limits of their own, within that of all.
    let limits = Limits { max_frame: 1000, max_setup: 100, max_notice: 5000, ..Limits::default() };
    let decode = |size, opcode| Header::decode(&header(size, opcode), &limits).map(|header| header.payload_size());
    for opcode in [0, 1] {
        assert_eq!(decode(100, opcode), Ok(68));
        assert_eq!(decode(101, opcode), Err(FrameError::TooLarge { size: 101, limit: 100 }));
    }
    assert_eq!(decode(1000, 4), Ok(968));
    assert_eq!(decode(1001, 4), Err(FrameError::TooLarge { size: 1001, limit: 1000 }));
    assert_eq!(decode(32, 5), Err(FrameError::UnknownOpcode { opcode: 5 }));
}

#[test]
fn sequence_numbers_name_the_call_and_its_parent() {
    let seq = Seq::new(7, 3);
    assert_eq!((seq.number(), seq.parent(), seq.to_string()), (7, 3, "call-7(in call-3)".to_owned()));
    assert_eq!(Seq::new(u32::MAX, 0).to_string(), "call-4294967295");
}
