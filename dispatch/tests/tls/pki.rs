//! Certificates for tests: a CA, and what it signs, as files in a folder that goes with the test.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use dispatch::transport::tls::{TlsIdentity, Token};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

/// One authority.
pub(super) struct Pki {
    folder: tempfile::TempDir,
    ca: CertifiedIssuer<'static, KeyPair>,
}

impl Pki {
    pub(super) fn new() -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("ca.pem"), ca.pem()).unwrap();
        Pki { folder, ca }
    }

    /// The file of its certificate.
    pub(super) fn ca(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// A certificate for `name` and its key, as files.
    pub(super) fn files(&self, name: &str) -> (PathBuf, PathBuf) {
        let key = KeyPair::generate().unwrap();
        let signed = CertificateParams::new([name.to_owned()]).unwrap().signed_by(&key, &self.ca).unwrap();
        let [certificate, secret] = ["pem", "key"].map(|kind| self.folder.path().join(format!("{name}.{kind}")));
        fs::write(&certificate, signed.pem()).unwrap();
        fs::write(&secret, key.serialize_pem()).unwrap();
        (certificate, secret)
    }

    pub(super) fn identity(&self, name: &str) -> TlsIdentity {
        let (certificate, key) = self.files(name);
        TlsIdentity::from_pem_files(certificate, key).unwrap()
    }

    /// A file with a token, with these permissions.
    pub(super) fn token_file(&self, bytes: &[u8], mode: u32) -> PathBuf {
        let path = self.folder.path().join(format!("token-{}-{mode:o}", bytes.len()));
        fs::write(&path, bytes).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    }
}

pub(super) fn token(text: &str) -> Token {
    Token::new(text.as_bytes()).unwrap()
}
