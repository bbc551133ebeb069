//! What do listeners make of the places where they are told to listen?

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use dispatch::transport::tcp;
use dispatch::transport::unix::{BindError, Listener, Unix};

#[test]
fn a_unix_socket_is_its_users_alone_and_goes_with_its_listener() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let listener = Listener::bind(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
    assert_eq!(listener.path(), path);

    let client = Unix::connect(&path).unwrap();
    let served = listener.accept().unwrap();
    let own = std::process::id();
    for end in [&client, &served] {
        let peer = end.peer_credentials().unwrap();
        assert_eq!((peer.pid, peer.uid), (own, rustix::process::geteuid().as_raw()));
        assert!(end.same_user().unwrap());
    }
    assert!(format!("{served:?}").contains(&format!("pid {own}")), "{served:?}");
    drop(listener);
    assert!(!path.exists(), "a listener that ended leaves no file");
}

#[test]
fn nothing_of_others_is_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("precious");
    fs::write(&path, "data").unwrap();
    let error = Listener::bind(&path).unwrap_err();
    assert!(matches!(error, BindError::NotASocket { .. }), "{error}");
    assert!(error.to_string().contains("precious"), "{error}");
    assert_eq!(fs::read(&path).unwrap(), b"data");

    // Nor through a link.
    let link = folder.path().join("link");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    assert!(matches!(Listener::bind(&link).unwrap_err(), BindError::NotASocket { .. }));
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());

    let error = Listener::bind(folder.path().join("no/such/folder")).unwrap_err();
    assert!(matches!(error, BindError::System { .. }), "{error}");
    let error = Listener::bind(folder.path().join("long".repeat(40))).unwrap_err();
    assert!(matches!(error, BindError::TooLong { .. }), "{error}");
}

#[test]
fn two_cannot_listen_at_one_path() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let first = Listener::bind(&path).unwrap();
    let error = Listener::bind(&path).unwrap_err();
    assert!(matches!(error, BindError::InUse { .. }), "{error}");
    // The attempt has connected and gone: the first one serves on.
    let served = first.accept().unwrap();
    drop(served);
    let mut client = Unix::connect(&path).unwrap().into_socket().unwrap();
    client.write_all(b"x").unwrap();
    let mut byte = [0];
    first.accept().unwrap().into_socket().unwrap().read_exact(&mut byte).unwrap();
    assert_eq!(byte, *b"x");
}

#[test]
fn what_a_dead_listener_left_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    // The standard library's listener leaves its file behind, as a killed process does.
    drop(UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    let listener = Listener::bind(&path).unwrap();
    UnixStream::connect(&path).unwrap();
    listener.accept().unwrap();
}

#[test]
fn of_many_that_replace_a_dead_one_exactly_one_listens() {
    let folder = tempfile::tempdir().unwrap();
    for round in 0..20 {
        let path = folder.path().join(format!("socket-{round}"));
        drop(UnixListener::bind(&path).unwrap());
        let bind = |path: &Path| {
            Listener::bind(path).map_err(|error| assert!(matches!(error, BindError::InUse { .. }), "{error}"))
        };
        let listeners: Vec<Listener> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| bind(&path))).collect();
            threads.into_iter().filter_map(|thread| thread.join().unwrap().ok()).collect()
        });
        assert_eq!(listeners.len(), 1);
        UnixStream::connect(&path).unwrap();
    }
}

#[test]
fn a_folder_that_a_stranger_has_locked_can_be_listened_in() {
    let folder = tempfile::tempdir().unwrap();
    let locked = fs::File::open(folder.path()).unwrap();
    rustix::fs::flock(&locked, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let path = folder.path().join("socket");
    drop(UnixListener::bind(&path).unwrap());
    Listener::bind(&path).unwrap();
    drop(locked);
}

#[test]
fn a_file_that_took_the_place_stays() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let first = Listener::bind(&path).unwrap();
    fs::remove_file(&path).unwrap();
    let second = Listener::bind(&path).unwrap();
    drop(first);
    assert!(path.exists(), "it is the second one's");
    UnixStream::connect(&path).unwrap();
    second.accept().unwrap();

    // One that was handed over belongs to whoever bound it.
    let other = folder.path().join("other");
    let bound = UnixListener::bind(&other).unwrap();
    fs::set_permissions(&other, fs::Permissions::from_mode(0o600)).unwrap();
    let inherited = Listener::from_socket(bound);
    UnixStream::connect(&other).unwrap();
    assert!(format!("{:?}", inherited.accept().unwrap()).contains("other"));
    drop(inherited);
    assert!(other.exists());
}

#[test]
fn plain_tcp_stays_on_the_machine() {
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0"] {
        let error = tcp::Listener::bind(address).unwrap_err();
        assert!(matches!(error, tcp::BindError::BeyondLoopback { .. }), "{error}");
        let text = error.to_string();
        assert!(text.contains(address) && text.contains("TLS") && text.contains("ssh -L"), "{text}");
    }
    for address in ["127.0.0.1:0", "localhost:0", "127.1.2.3:0", "[::ffff:127.0.0.1]:0"] {
        match tcp::Listener::bind(address) {
            Ok(listener) => assert!(listener.local_addr().unwrap().ip().to_canonical().is_loopback()),
            // A machine without IPv6.
            Err(error) => assert!(matches!(error, tcp::BindError::System { .. }) && address.contains("::"), "{error}"),
        }
    }
    let error = tcp::Listener::bind("no port").unwrap_err();
    assert!(error.to_string().contains("no port"), "{error}");
}

#[test]
fn a_client_that_is_gone_before_it_is_accepted_is_no_error() {
    let listener = tcp::Listener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let gone = std::net::TcpStream::connect(address).unwrap();
    // Ends with a reset: a port scan.
    rustix::net::sockopt::set_socket_linger(&gone, Some(std::time::Duration::ZERO)).unwrap();
    drop(gone);
    let here = tcp::Tcp::connect(&address.to_string(), std::time::Duration::from_secs(10)).unwrap();
    drop(listener.accept().unwrap());
    drop(here);
}

#[test]
fn who_cannot_be_reached_is_named() {
    let error = Unix::connect("no/such/socket").unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
    assert!(error.to_string().contains("no/such/socket"), "{error}");

    let listener = tcp::Listener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let error = tcp::Tcp::connect(&address, std::time::Duration::from_secs(10)).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
    assert!(error.to_string().contains(&address), "{error}");
    let error = tcp::Tcp::connect("nowhere", std::time::Duration::from_secs(10)).unwrap_err();
    assert!(error.to_string().contains("nowhere"), "{error}");
}
