//! An executor for LLVM's controller, and nothing else: `llvm-jitlink-19 -oop-executor=target/debug/examples/llvm_executor prog.o`.
//!
//! Takes what llvm-jitlink passes to its executor, `filedescs=IN,OUT`, or `listen=HOST:PORT` for `llvm-jitlink-19 -oop-executor-connect=HOST:PORT`.
//!
//! `unsafe` because descriptors come as numbers.
#![allow(unsafe_code)]

use dispatch::transport::stream::Stream;
use dispatch::{CallError, Caller, Connect, Peer, Reply, Setup, Tag, WeakPeer};
use orc_rt::llvm::Services;
use orc_rt::{Config, Session};
use std::error::Error;
use std::fs::File;
use std::net::{Shutdown, TcpListener};
use std::os::fd::{FromRawFd, RawFd};
use std::sync::{Arc, OnceLock};

/// The peer, which is there only after the session that calls it.
#[derive(Default)]
struct Late(OnceLock<WeakPeer>);

impl Caller for Late {
    fn call(&self, tag: Tag, args: &[u8]) -> Result<Reply, CallError> {
        match self.0.get() {
            Some(peer) => peer.call(tag, args),
            None => Ok(Reply::error("the session has no controller yet")),
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let controller = Arc::new(Late::default());
    // SAFETY: LLVM's controller sends no plans.
    let session = unsafe { Session::new(Config::new(controller.clone())) };
    let services = Services::new(&session);
    let setup = Setup {
        triple: "x86_64-unknown-linux-gnu".to_owned(),
        page_size: rustix::param::page_size() as u64,
        map: services.map(),
        symbols: services.symbols(),
    };
    let peer = connect(Connect::executor(setup).handlers(services.clone()))?;
    let known = controller.0.set(peer.downgrade());
    assert!(known.is_ok(), "the peer is set once");

    peer.serve();
    match services.close() {
        // As any process ends: exit handlers run, streams are flushed.
        Ok(()) => std::process::exit(0),
        Err(error) => {
            // The controller has gone while its program runs: nobody waits for what the program still does.
            eprintln!("llvm_executor: {error}");
            let kill = rustix::process::Signal::KILL;
            Ok(rustix::process::kill_process(rustix::process::getpid(), kill)?)
        }
    }
}

/// The transport that the only argument names.
fn connect(connect: Connect) -> Result<Peer, Box<dyn Error>> {
    let usage = "usage: llvm_executor filedescs=IN,OUT | listen=HOST:PORT";
    let argument = std::env::args().nth(1).ok_or(usage)?;
    // One server thread is this one.
    let connect = connect.background(1);
    if let Some(numbers) = argument.strip_prefix("filedescs=") {
        let (input, output) = numbers.split_once(',').ok_or(usage)?;
        let (input, output) = (input.parse::<RawFd>()?, output.parse::<RawFd>()?);
        // SAFETY: whoever started this process has passed the two for this use.
        let (input, output) = unsafe { (File::from_raw_fd(input), File::from_raw_fd(output)) };
        return Ok(connect.over(Stream::new(input, output).named("LLVM's controller"))?);
    }
    let address = argument.strip_prefix("listen=").ok_or(usage)?;
    let (socket, from) = TcpListener::bind(address)?.accept()?;
    socket.set_nodelay(true)?;
    let closer = socket.try_clone()?;
    let stream = Stream::new(socket.try_clone()?, socket).named(from.to_string());
    Ok(connect.over(stream.on_close(move || drop(closer.shutdown(Shutdown::Both))))?)
}
