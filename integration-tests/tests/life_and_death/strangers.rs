//! Does a listener serve its next client, whoever else came in?

use crate::processes::{gone, open_files};
use crate::streams::noise;
use crate::world::{PATIENCE, World};
use integration_tests::executor::Kind;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::Duration;

const HELLO: &str = "#include <stdio.h>\nint main(void) { puts(\"hello\"); return 21; }\n";

/// Says what it reads, after it has said that it is there.
const ECHO: &str = r#"
#include <stdio.h>
int main(void) {
    char line[100];
    puts("up");
    fflush(stdout);
    if (!fgets(line, sizeof line, stdin)) return 1;
    fputs(line, stdout);
    return 0;
}
"#;

trait Connection: Read + Write + Send {
    fn end_of_writing(&self);
}

impl Connection for TcpStream {
    fn end_of_writing(&self) {
        let _ = self.shutdown(Shutdown::Write);
    }
}

impl Connection for UnixStream {
    fn end_of_writing(&self) {
        let _ = self.shutdown(Shutdown::Write);
    }
}

/// Connects as anybody could.
#[track_caller]
fn connect(world: &World, kind: Kind) -> Box<dyn Connection> {
    let address = world.listener(kind).address().to_str().expect("text").to_owned();
    let patience = Some(Duration::from_secs(1));
    if let Some(path) = address.strip_prefix("unix:") {
        let stream = UnixStream::connect(path).expect("it listens");
        stream.set_read_timeout(patience).expect("a limit");
        stream.set_write_timeout(patience).expect("a limit");
        Box::new(stream)
    } else {
        let stream = TcpStream::connect(address.trim_start_matches("tcp:")).expect("it listens");
        stream.set_read_timeout(patience).expect("a limit");
        stream.set_write_timeout(patience).expect("a limit");
        Box::new(stream)
    }
}

/// What scanners and mistakes send.
fn garbage() -> Vec<Vec<u8>> {
    vec![
        Vec::new(),
        b"\n".to_vec(),
        b"GET / HTTP/1.0\r\n\r\n".to_vec(),
        b"SSH-2.0-OpenSSH_9.2p1\r\n".to_vec(),
        // A TLS client's first words.
        [&b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..], &noise(500)].concat(),
        vec![0; 64],
        vec![0xff; 64],
        // A frame that is as long as a number can say.
        [&u64::MAX.to_le_bytes()[..], &[1; 40]].concat(),
        [&(1_u64 << 40).to_le_bytes()[..], &[0; 40]].concat(),
        // Half of a frame.
        [&100_u64.to_le_bytes()[..], &[0; 20]].concat(),
        noise(1_000_000),
    ]
}

#[track_caller]
fn serves(world: &World, kind: Kind, after: &str) {
    let (code, printed, said) = world.run(kind, &["hello.o"]);
    assert_eq!((code, &*printed, &*said), (21, "hello\n", ""), "{kind}: after {after}");
}

#[test]
fn garbage_leaves_a_listener_serving() {
    let world = World::new("garbage");
    world.compile("hello", HELLO);
    for kind in world.listening() {
        serves(&world, kind, "the start");
        let listener = world.listener(kind).id();
        let before = open_files(listener);
        for bytes in garbage() {
            let mut stranger = connect(&world, kind);
            // It may hang up before it has heard all of this.
            let heard = stranger.write_all(&bytes).is_ok();
            stranger.end_of_writing();
            let mut answer = Vec::new();
            let _ = stranger.read_to_end(&mut answer);
            let about = format!("{} bytes, {heard}", bytes.len());
            assert!(answer.len() < 4096, "{kind}: {about}: {} bytes are said to a stranger", answer.len());
            drop(stranger);
            serves(&world, kind, &about);
        }
        for _ in 0..100 {
            drop(connect(&world, kind));
        }
        serves(&world, kind, "a hundred who said nothing");
        gone(PATIENCE / 6, &format!("{kind}: strangers went"), || world.living());
        let more = || (open_files(listener) > before).then(|| open_files(listener)).into_iter().collect();
        gone(PATIENCE / 6, &format!("{kind}: open files, {before} before"), more);
    }
    world.end();
}

#[test]
fn silence_keeps_nobody_waiting() {
    let world = World::new("silence");
    world.compile("hello", HELLO);
    for kind in world.listening() {
        let mut silent: Vec<_> = (0..20).map(|_| connect(&world, kind)).collect();
        // Some say the beginning of something.
        for stranger in silent.iter_mut().step_by(2) {
            // Who listens may have heard enough.
            let _ = stranger.write_all(&[0, 0, 0]);
        }
        serves(&world, kind, "twenty who wait");
        drop(silent);
        gone(PATIENCE / 6, &format!("{kind}: the silent went"), || world.living());
    }
    world.end();
}

#[test]
fn clients_are_served_at_once() {
    let world = World::new("at_once");
    world.compile("echo", ECHO);
    for kind in world.listening() {
        for count in [2, 8] {
            let mut clients: Vec<_> = (0..count).map(|_| world.start(kind, &["echo.o"])).collect();
            // All are there before any of them goes on.
            clients.iter_mut().for_each(|client| client.expect("up"));
            for (number, client) in clients.iter_mut().enumerate().rev() {
                writeln!(client.stdin.as_mut().expect("piped"), "client {number}").expect("it reads");
            }
            for (number, client) in clients.iter_mut().enumerate() {
                client.expect(&format!("client {number}"));
                assert_eq!(client.end(), 0, "{kind}: {}", client.said());
            }
        }
    }
    world.end();
}

#[test]
fn one_clients_end_is_not_the_others() {
    let world = World::new("one_ends");
    world.compile("echo", ECHO);
    for kind in world.listening() {
        let [mut killed, mut other] = [0, 1].map(|_| world.start(kind, &["echo.o"]));
        killed.expect("up");
        other.expect("up");
        killed.kill();
        assert_eq!(killed.end(), 137);
        std::thread::sleep(Duration::from_millis(300));
        writeln!(other.stdin.as_mut().expect("piped"), "still here").expect("it reads");
        other.expect("still here");
        assert_eq!(other.end(), 0, "{kind}: {}", other.said());
    }
    world.end();
}
