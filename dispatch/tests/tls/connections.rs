//! Does an encrypted connection carry frames as any other, and does it refuse what is not right on either side?

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use dispatch::conformance::check;
use dispatch::frame::{Frame, Opcode, Seq};
use dispatch::transport::tls::{ClientTls, Incoming, Listener, Reason, ServerTls, Tls, TlsError, TlsIdentity, Token};
use dispatch::transport::{RecvFrame, SendFrame, Transport};
use dispatch::{Limits, Tag};

use super::pki::{Pki, token};

const LONG: Duration = Duration::from_secs(10);

/// A client and a server, connected with each other.
fn connect(client: &ClientTls, listener: &Listener, through: u16) -> std::io::Result<(Tls, Tls)> {
    thread::scope(|scope| {
        let serving = scope.spawn(|| listener.accept().map(Incoming::handshake));
        let here = client.connect(&format!("localhost:{through}"), LONG).map_err(std::io::Error::other)?;
        let there = serving.join().expect("it does not panic")?.map_err(std::io::Error::other)?;
        Ok((here, there))
    })
}

/// Both sides with certificates and a token.
fn mutual(pki: &Pki) -> (ClientTls, Listener, u16) {
    let secret = token("a token that both know");
    let server = ServerTls::new(pki.identity("localhost"), Some(&pki.ca()), Some(secret.clone())).unwrap();
    let listener = Listener::bind("127.0.0.1:0", server).unwrap();
    let port = listener.local_addr().unwrap().port();
    (ClientTls::new(Some(pki.identity("client")), pki.ca(), Some(secret)).unwrap(), listener, port)
}

#[test]
fn tls_conforms() {
    let (client, listener, port) = mutual(&Pki::new());
    check(move || connect(&client, &listener, port)).unwrap();
}

#[test]
fn a_certificate_or_a_token_is_enough_if_no_more_is_demanded() {
    let pki = Pki::new();
    let secret = token("another token for both");
    let cases = [
        (Some(pki.ca()), None, Some(pki.identity("client")), None),
        (None, Some(secret.clone()), None, Some(secret.clone())),
        // What nobody asked for does not hurt.
        (Some(pki.ca()), None, Some(pki.identity("client")), Some(secret.clone())),
        (None, Some(secret.clone()), Some(Pki::new().identity("client")), Some(secret)),
    ];
    for (client_ca, demanded, identity, shown) in cases {
        let server = ServerTls::new(pki.identity("localhost"), client_ca.as_deref(), demanded).unwrap();
        let listener = Listener::bind("127.0.0.1:0", server).unwrap();
        let port = listener.local_addr().unwrap().port();
        let client = ClientTls::new(identity, pki.ca(), shown).unwrap();
        let (here, there) = connect(&client, &listener, port).unwrap();
        assert_eq!(here.name(), format!("tls localhost:{port}"));
        assert!(there.name().starts_with("tls 127.0.0.1:"), "{}", there.name());
    }
}

#[test]
fn a_client_talks_to_the_right_server_only() {
    let (pki, other) = (Pki::new(), Pki::new());
    let secret = token("the token of this test");
    for (name, trusted, why) in
        [("localhost", &other, "invalid peer certificate"), ("elsewhere.example", &pki, "not valid for name")]
    {
        let server = ServerTls::new(pki.identity(name), None, Some(secret.clone())).unwrap();
        let listener = Listener::bind("127.0.0.1:0", server).unwrap();
        let address = format!("localhost:{}", listener.local_addr().unwrap().port());
        let serving = thread::spawn(move || listener.accept().unwrap().handshake().map(drop));
        let client = ClientTls::new(None, trusted.ca(), Some(secret.clone())).unwrap();
        let error = client.connect(&address, LONG).unwrap_err().to_string();
        assert!(error.contains(why) && error.contains(&address), "{error}");
        // It has left before it showed its token.
        serving.join().unwrap().unwrap_err();
    }
}

/// Carries bytes between a client and `port`, up to `limit` towards the client, and then cuts both.
fn cutting_proxy(port: u16, limit: usize) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let own = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        let (client, _) = listener.accept().unwrap();
        let server = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let (mut up_from, mut up_to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
        let upwards = thread::spawn(move || std::io::copy(&mut up_from, &mut up_to));
        let copied = std::io::copy(&mut (&server).take(limit as u64), &mut &client);
        // An end as TCP knows it, without TLS's goodbye.
        let _ = client.shutdown(Shutdown::Both);
        let _ = server.shutdown(Shutdown::Both);
        let _ = upwards.join();
        copied
    });
    own
}

#[test]
fn a_connection_that_is_cut_is_no_proper_end() {
    let (client, listener, port) = mutual(&Pki::new());
    let frame = Frame::new(Opcode::Call, Seq(1), Tag(1), vec![7; 1000]);
    let size = |limit| -> Option<Result<usize, String>> {
        let through = cutting_proxy(port, limit);
        let (here, there) = connect(&client, &listener, through).ok()?;
        let (_tx, mut receiver) = here.split(&Limits::default()).unwrap();
        let (mut sender, _rx) = there.split(&Limits::default()).unwrap();
        // The proxy may have cut already.
        let _ = (0..3).try_for_each(|_| sender.send(frame.clone()));
        drop(sender);
        let mut received = 0;
        Some(loop {
            match receiver.recv() {
                Ok(Some(got)) if got == frame => received += 1,
                Ok(Some(other)) => panic!("{other:?} was never sent"),
                Ok(None) => break Ok(received),
                Err(error) => break Err(error.to_string()),
            }
        })
    };
    assert_eq!(size(usize::MAX), Some(Ok(3)), "nothing is cut");
    let mut cut = 0;
    for limit in (500..6000).step_by(333) {
        match size(limit) {
            // Cut within the handshake.
            None => {}
            Some(Ok(received)) => assert_eq!(received, 3, "a cut behind {limit} bytes looks like a proper end"),
            Some(Err(_)) => cut += 1,
        }
    }
    assert!(cut > 5, "only {cut} connections were cut between handshake and end");
}

#[test]
fn a_changed_byte_is_noticed() {
    let (client, listener, port) = mutual(&Pki::new());
    let proxy = TcpListener::bind("127.0.0.1:0").unwrap();
    let through = proxy.local_addr().unwrap().port();
    let (change, changed) = std::sync::mpsc::channel::<()>();
    thread::spawn(move || {
        let (client, _) = proxy.accept().unwrap();
        let server = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let (mut up_from, mut up_to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
        thread::spawn(move || std::io::copy(&mut up_from, &mut up_to));
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = (&server).read(&mut buffer) {
            if changed.try_recv().is_ok() {
                buffer[count / 2] ^= 1;
            }
            (&client).write_all(&buffer[..count]).unwrap();
        }
    });
    let (here, there) = connect(&client, &listener, through).unwrap();
    let (_tx, mut receiver) = here.split(&Limits::default()).unwrap();
    let (mut sender, _rx) = there.split(&Limits::default()).unwrap();
    let frame = Frame::new(Opcode::Call, Seq(1), Tag(1), vec![7; 1000]);
    sender.send(frame.clone()).unwrap();
    assert_eq!(receiver.recv().unwrap(), Some(frame.clone()));
    change.send(()).unwrap();
    sender.send(frame).unwrap();
    receiver.recv().unwrap_err();
    assert!(receiver.recv().unwrap().is_none());
}

#[test]
fn a_server_that_asks_nothing_is_refused() {
    let error = ServerTls::new(Pki::new().identity("localhost"), None, None).unwrap_err();
    assert!(matches!(error, TlsError::AnybodyMayComeIn), "{error}");
}

#[test]
fn files_that_do_not_serve_are_named() {
    let pki = Pki::new();
    let (certificate, key) = pki.files("one");
    let (_, other_key) = pki.files("two");
    let says = |error: TlsError, words: &[&str]| {
        let text = error.to_string();
        assert!(words.iter().all(|word| text.contains(word)), "{text}");
    };
    says(TlsIdentity::from_pem_files("no/such.pem", &key).unwrap_err(), &["certificate", "no/such.pem"]);
    says(TlsIdentity::from_pem_files(&key, &key).unwrap_err(), &["one.key", "certificate"]);
    says(TlsIdentity::from_pem_files(&certificate, &certificate).unwrap_err(), &["one.pem", "private key"]);
    let mixed = TlsIdentity::from_pem_files(&certificate, &other_key).unwrap();
    says(ServerTls::new(mixed, Some(&pki.ca()), None).unwrap_err(), &["does the key belong to it"]);
    says(ClientTls::new(None, &key, None).unwrap_err(), &["one.key", "CA certificate"]);
}

#[test]
fn a_token_is_a_secret_or_refused() {
    let pki = Pki::new();
    let long = [b'x'; Token::MAX];
    for (content, mode) in [(&b"0123456789abcdef"[..], 0o600), (b"0123456789abcdef\n", 0o400), (&long, 0o600)] {
        let token = Token::from_file(pki.token_file(content, mode)).unwrap();
        assert_eq!(format!("{token:?}"), "Token", "a secret is not printed");
    }
    for mode in [0o644, 0o640, 0o604, 0o620] {
        let error = Token::from_file(pki.token_file(&long, mode)).unwrap_err();
        assert!(matches!(error, TlsError::TokenIsNoSecret { mode: found, .. } if found == mode), "{error}");
        assert!(error.to_string().contains("chmod 600"), "{error}");
    }
    for content in [&b"0123456789abcde\n"[..], b"", &[b'x'; Token::MAX + 1], &[b'\n'; 10_000]] {
        let error = Token::from_file(pki.token_file(content, 0o600)).unwrap_err();
        assert!(matches!(error, TlsError::TokenSize { .. }), "{error}");
    }
    assert!(matches!(Token::from_file("no/such/file").unwrap_err(), TlsError::File { .. }));
}

#[test]
fn a_server_that_says_nothing_does_not_hold_a_client() {
    let pki = Pki::new();
    let silent = Arc::new(TcpListener::bind("127.0.0.1:0").unwrap());
    let address = format!("localhost:{}", silent.local_addr().unwrap().port());
    let brief = Duration::from_millis(100);
    let client =
        ClientTls::new(None, pki.ca(), Some(token("the token of this test"))).unwrap().handshake_timeout(brief);
    let error = client.connect(&address, LONG).unwrap_err();
    assert!(matches!(error, TlsError::Refused { reason: Reason::TimedOut(_), .. }), "{error}");
    assert!(error.to_string().contains(&address), "{error}");
}
