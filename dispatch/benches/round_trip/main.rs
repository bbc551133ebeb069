//! What does an empty call cost, and a large one? `cargo bench -p orc-dispatch --all-features`
//!
//! Prints the median and the 99th percentile of an empty call, the median of one with 1 MiB of arguments, and thousands of empty calls
//! per second from 1, 8 and 64 threads: in process and over each transport. Both sides are threads of this process, but for the row that
//! says otherwise.
#![allow(clippy::print_stdout, reason = "a bench tells what it measured")]

use std::error::Error;
use std::os::fd::{AsFd, OwnedFd};
use std::process::Command;
use std::time::Duration;

use dispatch::transport::unix::{self, Unix};
use dispatch::transport::{channel, pipe, tcp};

mod measure;

use measure::{connect, control, head, row, serve, services};

const LONG: Duration = Duration::from_secs(10);

/// Makes this program the other process.
const EXECUTOR: &str = "--executor-on-standard-input";

fn main() -> Result<(), Box<dyn Error>> {
    if std::env::args().any(|argument| argument == EXECUTOR) {
        let socket = std::io::stdin().as_fd().try_clone_to_owned()?;
        serve(Unix::new(socket.into()));
        return Ok(());
    }
    println!("{}", head());
    println!("{}", row("in process", &services(), 100));

    let (here, there) = channel::pair();
    println!("{}", row("channel", &connect(here, there), 1));

    let ((from_here, to_there), (from_there, to_here)) = (std::io::pipe()?, std::io::pipe()?);
    let (here, there) = (pipe::over(from_there, to_there)?, pipe::over(from_here, to_here)?);
    println!("{}", row("pipes", &connect(here, there), 1));

    let (here, there) = Unix::pair()?;
    println!("{}", row("socket pair", &connect(here, there), 1));

    let (here, there) = Unix::pair()?;
    let there = OwnedFd::from(there.into_socket()?);
    let mut executor = Command::new(std::env::current_exe()?).arg(EXECUTOR).stdin(there).spawn()?;
    println!("{}", row("... process", &control(here), 1));
    executor.wait()?;

    let path = std::env::temp_dir().join(format!("orc-dispatch-bench-{}", std::process::id()));
    let listener = unix::Listener::bind(&path)?;
    let here = Unix::connect(&path)?;
    println!("{}", row("unix", &connect(here, listener.accept()?), 1));

    let listener = tcp::Listener::bind("127.0.0.1:0")?;
    let here = tcp::Tcp::connect(&listener.local_addr()?.to_string(), LONG)?;
    println!("{}", row("tcp", &connect(here, listener.accept()?), 1));

    #[cfg(feature = "tls")]
    println!("{}", row("tls", &encrypted()?, 1));
    Ok(())
}

/// A peer over TLS with a token, on loopback.
#[cfg(feature = "tls")]
fn encrypted() -> Result<dispatch::Peer, Box<dyn Error>> {
    use dispatch::transport::tls::{ClientTls, Incoming, Listener, ServerTls, TlsIdentity, Token};

    let folder = tempfile::tempdir()?;
    let [certificate, key] = ["certificate", "key"].map(|name| folder.path().join(name));
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    std::fs::write(&certificate, made.cert.pem())?;
    std::fs::write(&key, made.signing_key.serialize_pem())?;
    let token = Token::new(b"a token for this bench")?;
    let server = ServerTls::new(TlsIdentity::from_pem_files(&certificate, &key)?, None, Some(token.clone()))?;
    let listener = Listener::bind("127.0.0.1:0", server)?;
    let address = format!("localhost:{}", listener.local_addr()?.port());
    let serving = std::thread::spawn(move || listener.accept().map(Incoming::handshake));
    let here = ClientTls::new(None, &certificate, Some(token))?.connect(&address, LONG)?;
    Ok(connect(here, serving.join().expect("it does not panic")??))
}
