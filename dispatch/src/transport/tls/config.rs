//! Certificates, keys and tokens, from files.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::version::TLS13;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use subtle::ConstantTimeEq;

use super::TlsError;

/// What both sides must mean, so that nobody brings this server another protocol's client.
pub(super) const PROTOCOL: &[u8] = b"orc-dispatch/1";

/// Who this side is: its certificate, those between it and a CA, and its key.
pub struct TlsIdentity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl TlsIdentity {
    /// Reads PEM files: the certificate first in its file, then those that lead to the CA; the key as PKCS #8, PKCS #1 or SEC1.
    ///
    /// # Errors
    /// A file is unreadable or does not hold what it should.
    pub fn from_pem_files(certificate: impl AsRef<Path>, key: impl AsRef<Path>) -> Result<Self, TlsError> {
        let chain = certificates("certificate", certificate.as_ref())?;
        let path = key.as_ref();
        let key = PrivateKeyDer::from_pem_file(path).map_err(|error| unreadable("private key", path, error))?;
        Ok(TlsIdentity { chain, key })
    }
}

impl fmt::Debug for TlsIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TlsIdentity({} certificates)", self.chain.len())
    }
}

fn unreadable(what: &'static str, path: &Path, error: pem::Error) -> TlsError {
    let path = path.to_owned();
    match error {
        pem::Error::Io(error) => TlsError::File { what, path, error },
        error => TlsError::Pem { what, path, why: error.to_string() },
    }
}

fn certificates(what: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
    match found {
        Ok(found) if found.is_empty() => {
            Err(TlsError::Pem { what, path: path.to_owned(), why: "there is no certificate in it".to_owned() })
        }
        Ok(found) => Ok(found),
        Err(error) => Err(unreadable(what, path, error)),
    }
}

fn authorities(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut store = RootCertStore::empty();
    for certificate in certificates("CA certificate", path)? {
        store.add(certificate).map_err(|error| TlsError::Pem {
            what: "CA certificate",
            path: path.to_owned(),
            why: error.to_string(),
        })?;
    }
    Ok(store)
}

fn unusable(error: impl fmt::Display) -> TlsError {
    TlsError::Unusable(error.to_string())
}

pub(super) fn client(identity: Option<TlsIdentity>, ca: &Path) -> Result<ClientConfig, TlsError> {
    let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[&TLS13])
        .map_err(unusable)?
        .with_root_certificates(authorities(ca)?);
    let mut config = match identity {
        Some(identity) => builder.with_client_auth_cert(identity.chain, identity.key).map_err(unusable)?,
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    // Every connection proves everything anew.
    config.resumption = rustls::client::Resumption::disabled();
    Ok(config)
}

pub(super) fn server(identity: TlsIdentity, client_ca: Option<&Path>) -> Result<ServerConfig, TlsError> {
    let provider = Arc::new(default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&TLS13])
        .map_err(unusable)?;
    let builder = match client_ca {
        Some(ca) => {
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(authorities(ca)?), provider).build();
            builder.with_client_cert_verifier(verifier.map_err(unusable)?)
        }
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_single_cert(identity.chain, identity.key).map_err(unusable)?;
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    Ok(config)
}

/// A secret that both sides know.
#[derive(Clone)]
pub struct Token(Arc<[u8; Token::GREETING]>);

impl Token {
    /// The fewest bytes that a token has.
    pub const MIN: usize = 16;
    /// The most.
    pub const MAX: usize = 256;
    /// What travels: the length, and room for the longest.
    pub(super) const GREETING: usize = 2 + Token::MAX;

    /// A token of these bytes, [`MIN`](Token::MIN) to [`MAX`](Token::MAX) of them.
    ///
    /// # Errors
    /// They are too few or too many.
    pub fn new(bytes: &[u8]) -> Result<Self, TlsError> {
        if !(Token::MIN..=Token::MAX).contains(&bytes.len()) {
            return Err(TlsError::TokenSize { size: bytes.len() });
        }
        let mut greeting = [0; Token::GREETING];
        greeting[..2].copy_from_slice(&(bytes.len() as u16).to_le_bytes());
        greeting[2..][..bytes.len()].copy_from_slice(bytes);
        Ok(Token(Arc::new(greeting)))
    }

    /// The token in a file, without the end of its line. The file must be its owner's alone.
    ///
    /// # Errors
    /// It is unreadable, others can read it, or the token is too short or too long.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, TlsError> {
        let path: PathBuf = path.as_ref().to_owned();
        let failed = |error| TlsError::File { what: "token", path: path.clone(), error };
        let file = File::open(&path).map_err(failed)?;
        // Of the open file, and not of what stands at the path by now.
        let mode = file.metadata().map_err(failed)?.mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(TlsError::TokenIsNoSecret { path, mode });
        }
        let mut bytes = Vec::new();
        // Two more for the end of the line, and one that shows that there is more.
        file.take(Token::MAX as u64 + 3).read_to_end(&mut bytes).map_err(failed)?;
        let bytes = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
        Token::new(bytes.strip_suffix(b"\r").unwrap_or(bytes))
    }

    pub(super) fn greeting(token: Option<&Token>) -> [u8; Token::GREETING] {
        token.map_or([0; Token::GREETING], |token| *token.0)
    }

    /// Whether a greeting shows this token. Takes the same time whatever the greeting.
    pub(super) fn is_shown_by(&self, greeting: &[u8; Token::GREETING]) -> bool {
        self.0.as_slice().ct_eq(greeting.as_slice()).into()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}
