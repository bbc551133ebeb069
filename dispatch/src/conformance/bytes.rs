//! What a transport over bytes does with bytes that are no frames.

use std::io::{self, Write};
use std::thread;

use super::{Check, During, Failure, Outcome, expect, pattern, run, sample};
use crate::frame::{HEADER_SIZE, Limits};
use crate::transport::{RecvFrame, Transport};

/// Runs the checks on transports whose other end is a bare writer of bytes, which ends the connection when it is dropped.
///
/// ```
/// use std::os::unix::net::UnixStream;
/// use dispatch::transport::unix::Unix;
///
/// dispatch::conformance::check_bytes(|| {
///     let (here, there) = UnixStream::pair()?;
///     Ok((Unix::new(here), there))
/// })?;
/// # Ok::<(), dispatch::conformance::Failure>(())
/// ```
///
/// # Errors
/// The first check that fails. The thread of one that hangs is left behind.
pub fn check_bytes<T, W, F>(pair: F) -> Result<(), Failure>
where
    T: Transport + Send + 'static,
    W: Write + Send + 'static,
    F: Fn() -> io::Result<(T, W)> + Send + Sync + 'static,
{
    let checks: [Check<F>; 4] = [
        ("bytes make the same frames however they come", pieces),
        ("an end inside a frame is an error", half_frames),
        ("a size over the limit is refused before its payload comes", huge_size),
        ("bytes of another protocol are an error", garbage),
    ];
    run(pair, &checks)
}

type Made<T, W> = (<T as Transport>::Sender, <T as Transport>::Receiver, W);

fn made<T: Transport, W: Write>(pair: &impl Fn() -> io::Result<(T, W)>) -> Result<Made<T, W>, String> {
    let (transport, writer) = pair().during("making a pair")?;
    let (sender, receiver) = transport.split(&Limits::default()).during("splitting")?;
    Ok((sender, receiver, writer))
}

fn pieces<T: Transport, W: Write + Send + 'static>(pair: &impl Fn() -> io::Result<(T, W)>) -> Outcome {
    for size in [1, 2, 31, 33, 100] {
        let (_sender, mut receiver, mut writer) = made(pair)?;
        let frames = [0, 1, 40, 200].map(|payload| sample(payload, payload as usize));
        let bytes: Vec<u8> = frames.iter().flat_map(crate::frame::Frame::to_bytes).collect();
        let writing = thread::spawn(move || {
            bytes
                .chunks(size)
                .try_for_each(|piece| writer.write_all(piece).and_then(|()| writer.flush()))
                .map(|()| writer)
        });
        for frame in frames {
            let got = receiver.recv().during(&format!("receiving {frame:?} in pieces of {size} bytes"))?;
            expect(got.as_ref() == Some(&frame), || format!("{frame:?} in pieces of {size} bytes became {got:?}"))?;
        }
        drop(writing.join().map_err(|_| "a thread panicked".to_owned())?.during("writing")?);
        let end = receiver.recv().during("receiving the end")?;
        expect(end.is_none(), || format!("{end:?} came behind the last frame"))?;
    }
    Ok(())
}

/// Expects that an error comes, and that nothing comes behind it.
fn expect_error(receiver: &mut impl RecvFrame, of: &str) -> Outcome {
    match receiver.recv() {
        Err(_) => {}
        Ok(Some(frame)) => return Err(format!("{of} became {frame:?}")),
        Ok(None) => return Err(format!("{of} looks like a proper end")),
    }
    expect(!matches!(receiver.recv(), Ok(Some(_))), || format!("a frame was found behind {of}"))
}

fn half_frames<T: Transport, W: Write>(pair: &impl Fn() -> io::Result<(T, W)>) -> Outcome {
    let whole = sample(7, 1000).to_bytes();
    for cut in [1, 8, HEADER_SIZE - 1, HEADER_SIZE, HEADER_SIZE + 1, whole.len() - 1] {
        let (_sender, mut receiver, mut writer) = made(pair)?;
        writer.write_all(&whole).during("writing a frame")?;
        writer.write_all(&whole[..cut]).during("writing a part of one")?;
        writer.flush().during("writing a part of one")?;
        drop(writer);
        let got = receiver.recv().during("receiving the frame before")?;
        expect(got.is_some(), || "the frame before the cut is lost".to_owned())?;
        expect_error(&mut receiver, &format!("a frame cut behind {cut} bytes"))?;
    }
    Ok(())
}

fn huge_size<T: Transport, W: Write>(pair: &impl Fn() -> io::Result<(T, W)>) -> Outcome {
    for size in [(1 << 30) + 1, 1 << 40, u64::MAX, 0, 31] {
        let (_sender, mut receiver, mut writer) = made(pair)?;
        let mut header = sample(1, 0).header().encode();
        header[..8].copy_from_slice(&u64::to_le_bytes(size));
        writer.write_all(&header).during("writing a header")?;
        writer.flush().during("writing a header")?;
        // The writer lives: whoever waits for the payload waits for ever.
        expect_error(&mut receiver, &format!("a frame of {size:#x} bytes"))?;
    }
    Ok(())
}

fn garbage<T: Transport, W: Write + Send + 'static>(pair: &impl Fn() -> io::Result<(T, W)>) -> Outcome {
    for bytes in [b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(), pattern(1 << 20, 3), vec![0xff; 64]] {
        let (_sender, mut receiver, mut writer) = made(pair)?;
        let name = format!("{:?}", String::from_utf8_lossy(&bytes[..4]));
        let writing = thread::spawn(move || {
            // Nobody may want all of it.
            let _ = writer.write_all(&bytes).and_then(|()| writer.flush());
            Ok(())
        });
        expect_error(&mut receiver, &format!("what begins with {name}"))?;
        drop((receiver, _sender));
        super::joined(writing)?;
    }
    Ok(())
}
