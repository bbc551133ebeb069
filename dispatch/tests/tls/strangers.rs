//! Who may come in? Strangers cost a listener an error of its own, are told nothing, and the next client is served.

use std::fs::{self, File, Permissions};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use dispatch::transport::tls::{ClientTls, Listener, ServerTls, TlsError};
use dispatch::transport::unix::{AcceptError, Credentials};
use dispatch::transport::{Transport, tcp, unix};
use dispatch::{Connect, Registry, Setup, Tag, call_typed};

use super::pki::{Pki, token};

const LONG: Duration = Duration::from_secs(10);
const SECRET: &str = "a secret of this test alone";
const DOUBLE: Tag = Tag(1);

/// Serves one client until it leaves.
fn serve(transport: impl Transport) {
    let services = Registry::new();
    services.serve(DOUBLE, |n: u64| n * 2).unwrap();
    let connect = Connect::executor(Setup::default()).handlers(Arc::new(services)).background(0);
    if let Ok(peer) = connect.over(transport) {
        peer.serve();
    }
}

fn is_served(transport: impl Transport) {
    let peer = Connect::controller().over(transport).unwrap();
    assert_eq!(call_typed::<_, u64>(&peer, DOUBLE, &21u64).unwrap(), 42);
}

/// A server that lives as long as the test's process; reports why clients did not come in.
fn server(pki: &Pki, timeout: Duration) -> (SocketAddr, Receiver<String>) {
    let tls = ServerTls::new(pki.identity("localhost"), Some(&pki.ca()), Some(token(SECRET))).unwrap();
    let listener = Listener::bind("127.0.0.1:0", tls.handshake_timeout(timeout)).unwrap();
    let address = listener.local_addr().unwrap();
    let (report, reports) = channel();
    thread::spawn(move || {
        loop {
            let incoming = listener.accept().unwrap();
            let report = report.clone();
            thread::spawn(move || match incoming.handshake() {
                Ok(transport) => serve(transport),
                Err(error) => report.send(error.to_string()).unwrap(),
            });
        }
    });
    (address, reports)
}

fn friend(pki: &Pki) -> ClientTls {
    ClientTls::new(Some(pki.identity("friend")), pki.ca(), Some(token(SECRET))).unwrap()
}

fn named(address: SocketAddr) -> String {
    format!("localhost:{}", address.port())
}

#[test]
fn without_the_right_certificate_and_token_nobody_comes_in() {
    let (pki, other) = (Pki::new(), Pki::new());
    let (address, reports) = server(&pki, LONG);
    let right = || Some(token(SECRET));
    let cases = [
        ("another token", Some(pki.identity("a")), Some(token("a secret of this test alonE")), "wrong token"),
        ("a longer token", Some(pki.identity("a")), Some(token("a secret of this test alone ")), "wrong token"),
        ("no token", Some(pki.identity("a")), None, "no token"),
        ("no certificate", None, right(), "no certificates"),
        ("a certificate of another CA", Some(other.identity("a")), right(), "invalid peer certificate"),
        ("nothing", None, None, "no certificates"),
    ];
    for (what, identity, shown, reason) in cases {
        let stranger = ClientTls::new(identity, pki.ca(), shown).unwrap();
        let told = stranger.connect(&named(address), LONG).map(drop).unwrap_err();
        let known = reports.recv_timeout(LONG).unwrap();
        assert!(known.contains(reason) && known.contains("tls 127.0.0.1:"), "{what}: this side knows: {known}");
        // The stranger sees a connection that ends, whatever is wrong.
        assert!(matches!(told, TlsError::Refused { .. }), "{told}");
        let told = told.to_string();
        assert!(told.contains("turned this side away"), "{what}: the stranger was told: {told}");
        is_served(friend(&pki).connect(&named(address), LONG).unwrap());
    }
    assert!(reports.try_recv().is_err(), "friends come in without errors");
}

/// A megabyte that no protocol begins with.
fn garbage() -> Vec<u8> {
    let mut bytes = Vec::new();
    File::open("/dev/urandom").unwrap().take(1_000_000).read_to_end(&mut bytes).unwrap();
    bytes
}

/// What a port scan sends. All are complete in themselves, and some are the beginning of something.
fn probes() -> Vec<Vec<u8>> {
    vec![
        garbage(),
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(),
        b"SSH-2.0-scan\r\n".to_vec(),
        vec![0; 100_000],
        vec![0xff; 100],
        // The header of a TLS record that claims more than any has, and a client's greeting in an old version.
        b"\x16\x03\x01\xff\xff".to_vec(),
        b"\x80\x2e\x01\x00\x02".to_vec(),
        Vec::new(),
    ]
}

/// Sends, says that there is no more, and returns what comes back.
fn probe(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(LONG)).unwrap();
    // The other side may have hung up in the middle.
    let _ = socket.write_all(bytes);
    let _ = socket.shutdown(std::net::Shutdown::Write);
    let mut answer = Vec::new();
    let _ = socket.read_to_end(&mut answer);
    answer
}

#[test]
fn garbage_gets_no_answer_and_the_next_client_is_served() {
    let pki = Pki::new();
    let (address, reports) = server(&pki, LONG);
    for bytes in probes() {
        assert_eq!(probe(address, &bytes), b"", "an answer to {:?}...", &bytes[..bytes.len().min(8)]);
        let known = reports.recv_timeout(LONG).unwrap();
        assert!(known.contains("tls 127.0.0.1:"), "{known}");
        is_served(friend(&pki).connect(&named(address), LONG).unwrap());
    }
}

#[test]
fn silence_has_a_deadline_and_holds_nobody_up() {
    let pki = Pki::new();
    let timeout = Duration::from_millis(400);
    let (address, reports) = server(&pki, timeout);
    let start = Instant::now();
    // One that says nothing, and one that drips a valid beginning byte by byte, each in time.
    let mut silent = TcpStream::connect(address).unwrap();
    let mut dripping = TcpStream::connect(address).unwrap();
    let drip = thread::spawn(move || {
        let beginning = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";
        for byte in beginning.iter().cycle().take(200) {
            if dripping.write_all(&[*byte]).is_err() {
                return;
            }
            thread::sleep(Duration::from_millis(50));
        }
        panic!("it was listened to for ten seconds");
    });
    is_served(friend(&pki).connect(&named(address), LONG).unwrap());
    for _ in 0..2 {
        let known = reports.recv_timeout(LONG).unwrap();
        assert!(known.contains("not done after 400ms"), "{known}");
    }
    let waited = start.elapsed();
    assert!(timeout <= waited && waited < LONG, "{waited:?}");
    assert_eq!(silent.read(&mut [0; 100]).unwrap_or(0), 0);
    drip.join().unwrap();
}

#[test]
fn a_hundred_strangers_at_once_do_not_shut_out_a_friend() {
    let pki = Pki::new();
    let (address, reports) = server(&pki, LONG);
    let silent: Vec<TcpStream> = (0..100).map(|_| TcpStream::connect(address).unwrap()).collect();
    is_served(friend(&pki).connect(&named(address), LONG).unwrap());
    drop(silent);
    for _ in 0..100 {
        let known = reports.recv_timeout(LONG).unwrap();
        assert!(known.contains("closed the connection"), "{known}");
    }
}

#[test]
fn plain_tcp_survives_garbage() {
    let listener = tcp::Listener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        loop {
            let transport = listener.accept().unwrap();
            thread::spawn(move || serve(transport));
        }
    });
    for bytes in probes() {
        probe(address, &bytes);
        is_served(tcp::Tcp::connect(&address.to_string(), LONG).unwrap());
    }
}

#[test]
fn over_a_unix_socket_come_this_user_and_root() {
    let user = |uid| Credentials { pid: 1, uid, gid: 1000 };
    assert!(user(1000).may_come_in_to(1000));
    assert!(user(0).may_come_in_to(1000));
    assert!(!user(1001).may_come_in_to(1000));
    assert!(!user(1000).may_come_in_to(0), "root's executor runs nothing for others");
    assert!(user(rustix::process::geteuid().as_raw()).may_come_in());
}

/// Connects as another user, which a thread of root can be.
fn connect_as(uid: u32, path: &Path) -> std::io::Result<UnixStream> {
    let path = path.to_owned();
    let becoming = thread::spawn(move || {
        let uid = rustix::process::Uid::from_raw(uid);
        rustix::thread::set_thread_res_uid(uid, uid, uid)?;
        UnixStream::connect(path)
    });
    becoming.join().unwrap()
}

#[test]
fn another_user_is_turned_away_without_a_word() {
    const NOBODY: u32 = 65_534;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let listener = unix::Listener::bind(&path).unwrap();
    if !rustix::process::geteuid().is_root() {
        // Only root can be somebody else; to the system's own check the test above adds the decision.
        assert_eq!(connect_as(NOBODY, &path).unwrap_err().kind(), std::io::ErrorKind::PermissionDenied);
        return;
    }
    fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
    let refused = connect_as(NOBODY, &path).unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::PermissionDenied, "the file's mode keeps them out already");

    // Should somebody have opened the file to all, the listener asks all the same.
    fs::set_permissions(&path, Permissions::from_mode(0o666)).unwrap();
    let mut stranger = connect_as(NOBODY, &path).unwrap();
    match listener.accept() {
        Err(AcceptError::Stranger { uid: NOBODY, .. }) => {}
        other => panic!("{other:?}"),
    }
    stranger.set_read_timeout(Some(LONG)).unwrap();
    let mut told = Vec::new();
    stranger.read_to_end(&mut told).unwrap();
    assert_eq!(told, b"");

    let client = thread::spawn(move || is_served(unix::Unix::connect(&path).unwrap()));
    serve(listener.accept().unwrap());
    client.join().unwrap();
}
