//! Who may come in from beyond this machine, as the command line says it: certificates, tokens, both, and strangers.

use super::support::{Listener, ORC};
use crate::common::compile;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};
use tempfile::TempDir;

/// Files in a folder: an authority's certificate (`ca.pem`), what it has signed (`server`, `client`), one that it has not (`stranger`),
/// two tokens, and a program that exits with 3.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().expect("a directory");
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        fs::write(&path, bytes).expect("it can be written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("it is ours");
    };
    let authority = || {
        let mut params = CertificateParams::new([]).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("it signs itself")
    };
    let (ca, other) = (authority(), authority());
    write("ca.pem", ca.pem().as_bytes());
    for (name, by) in [("server", &ca), ("client", &ca), ("stranger", &other)] {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(["127.0.0.1".to_owned()]).expect("an address");
        let signed = params.signed_by(&key, by).expect("it signs");
        write(&format!("{name}.pem"), signed.pem().as_bytes());
        write(&format!("{name}.key"), key.serialize_pem().as_bytes());
    }
    write("token", b"a secret of enough bytes");
    write("wrong", b"another one of that size");
    write("three.o", &compile(&["gcc", "-x", "c"], "int main(void) { return 3; }"));
    folder
}

fn run(folder: &Path, listener: &Listener, options: &[&str]) -> Output {
    let mut command = Command::new(ORC);
    command.args(["run", "--executor", &format!("tcp:{}", listener.address())]).args(options);
    command.arg("three.o").current_dir(folder).output().expect("orc starts")
}

#[track_caller]
fn comes_in(folder: &Path, listener: &Listener, options: &[&str]) {
    let output = run(folder, listener, options);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{options:?}: {said}");
}

#[track_caller]
fn is_turned_away(folder: &Path, listener: &Listener, options: &[&str], said: &str) {
    let output = run(folder, listener, options);
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(125), "{options:?}: {text}");
    assert!(text.contains(said), "{options:?}: {said:?} is not in {text}");
}

const CLIENT: [&str; 6] = ["--tls-ca", "ca.pem", "--tls-cert", "client.pem", "--tls-key", "client.key"];
const STRANGER: [&str; 6] = ["--tls-ca", "ca.pem", "--tls-cert", "stranger.pem", "--tls-key", "stranger.key"];

#[test]
fn a_certificate_of_the_authority_lets_in_and_nothing_else_does() {
    let folder = folder();
    let listener = Listener::tcp_with(
        folder.path(),
        &["--tls-cert", "server.pem", "--tls-key", "server.key", "--tls-ca", "ca.pem"],
    );
    comes_in(folder.path(), &listener, &CLIENT);
    is_turned_away(folder.path(), &listener, &STRANGER, "turned this side away");
    is_turned_away(folder.path(), &listener, &["--tls-ca", "ca.pem"], "turned this side away");
    // One whose authority this side does not know is not spoken with.
    is_turned_away(folder.path(), &listener, &["--tls-ca", "stranger.pem"], "127.0.0.1");
    comes_in(folder.path(), &listener, &CLIENT);
}

#[test]
fn a_token_lets_in_and_a_wrong_one_does_not() {
    let folder = folder();
    let listener = Listener::tcp_with(
        folder.path(),
        &["--tls-cert", "server.pem", "--tls-key", "server.key", "--token-file", "token"],
    );
    comes_in(folder.path(), &listener, &["--tls-ca", "ca.pem", "--token-file", "token"]);
    is_turned_away(folder.path(), &listener, &["--tls-ca", "ca.pem", "--token-file", "wrong"], "turned this side away");
    is_turned_away(folder.path(), &listener, &["--tls-ca", "ca.pem"], "turned this side away");
    comes_in(folder.path(), &listener, &["--tls-ca", "ca.pem", "--token-file", "token"]);
}

#[test]
fn nobody_listens_beyond_loopback_without_encryption() {
    let command = Command::new(ORC).args(["executor", "--listen", "tcp:0.0.0.0:0"]).output().expect("orc starts");
    let text = String::from_utf8_lossy(&command.stderr);
    assert_eq!(command.status.code(), Some(125), "{text}");
    assert!(text.contains("without TLS") && text.contains("--tls-cert"), "{text}");
}
