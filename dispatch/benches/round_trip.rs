//! What does an empty call cost, and a large one? `cargo bench -p orc-dispatch`
//!
//! Prints the median time of a call in process, over a channel, a socket pair, and TCP; and calls per second from several threads.
#![allow(clippy::print_stdout, reason = "a bench tells what it measured")]

use std::hint::black_box;
use std::io;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use dispatch::dispatcher::Inline;
use dispatch::transport::stream::Stream;
use dispatch::transport::{Transport, channel};
use dispatch::{Caller, Connect, Peer, Registry, Reply, Setup, Tag};

const COUNT: Tag = Tag(1);

fn services() -> Arc<Registry> {
    let registry = Registry::new();
    registry.add(COUNT, |args: &[u8]| Reply::packed(&(args.len() as u64))).expect("the first handler");
    Arc::new(registry)
}

/// A controller whose executor is a thread that serves.
fn connect<A: Transport, B: Transport + Send + 'static>(here: A, there: B) -> Peer {
    thread::spawn(move || {
        let connect = Connect::executor(Setup::default()).handlers(services()).dispatcher(Inline).background(0);
        connect.over(there).map(|peer| peer.serve())
    });
    Connect::controller().over(here).expect("the executor says Setup")
}

/// The median of single calls.
fn median(caller: &dyn Caller, args: &[u8], batch: u32) -> Duration {
    let mut times: Vec<Duration> = (0..2000)
        .map(|_| {
            let start = Instant::now();
            for _ in 0..batch {
                black_box(caller.call(COUNT, black_box(args))).expect("it is served");
            }
            start.elapsed() / batch
        })
        .collect();
    times.sort_unstable();
    times[times.len() / 2]
}

fn calls_per_second(caller: &(impl Caller + Clone + 'static), threads: usize) -> f64 {
    const CALLS: usize = 20_000;
    let start = Instant::now();
    let workers: Vec<_> = (0..threads)
        .map(|_| {
            let caller = caller.clone();
            thread::spawn(move || {
                for _ in 0..CALLS / threads {
                    black_box(caller.call(COUNT, b"")).expect("it is served");
                }
            })
        })
        .collect();
    workers.into_iter().for_each(|worker| worker.join().expect("no call fails"));
    CALLS as f64 / start.elapsed().as_secs_f64()
}

fn report(name: &str, caller: &(impl Caller + Clone + 'static), batch: u32) {
    let large = vec![1; 1 << 20];
    let [empty, large] = [&[][..], &large].map(|args| median(caller, args, batch));
    let [one, eight, many] = [1, 8, 64].map(|threads| calls_per_second(caller, threads) / 1000.0);
    println!("{name:<14} {empty:>10.2?} {large:>10.2?} {one:>8.0} {eight:>8.0} {many:>8.0}");
}

fn main() -> io::Result<()> {
    println!("{:<14} {:>10} {:>10} {:>8} {:>8} {:>8}", "", "empty", "1 MiB", "k/s: 1", "8", "64 threads");
    report("in process", &services(), 100);

    let (a, b) = channel::pair();
    report("channel", &connect(a, b), 1);

    let unix = |socket: UnixStream| -> io::Result<_> {
        let handle = socket.try_clone()?;
        let close = move || drop(handle.shutdown(Shutdown::Both));
        Ok(Stream::new(socket.try_clone()?, socket).on_close(close))
    };
    let (a, b) = UnixStream::pair()?;
    report("socket pair", &connect(unix(a)?, unix(b)?), 1);

    let tcp = |socket: TcpStream| -> io::Result<_> {
        socket.set_nodelay(true)?;
        let handle = socket.try_clone()?;
        let close = move || drop(handle.shutdown(Shutdown::Both));
        Ok(Stream::new(socket.try_clone()?, socket).on_close(close))
    };
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let a = TcpStream::connect(listener.local_addr()?)?;
    report("TCP loopback", &connect(tcp(a)?, tcp(listener.accept()?.0)?), 1);
    Ok(())
}
