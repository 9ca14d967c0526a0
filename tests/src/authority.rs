//! An authority of the test's own, and the certificates that it signs: good ones and bad ones.
//! All files are in a folder that goes with it.

use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams,
    SanType, SerialNumber,
};
use tempfile::TempDir;

const DAY: Duration = Duration::from_secs(86_400);

/// An authority; its certificate is in `ca.pem`.
#[derive(Debug)]
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: TempDir,
    serials: RefCell<u64>,
    revoked: RefCell<Vec<u64>>,
}

/// A certificate and its key, in files.
#[derive(Clone, Debug)]
pub struct Pair {
    /// The certificate.
    pub cert: PathBuf,
    /// Its key.
    pub key: PathBuf,
    serial: u64,
}

/// What a certificate is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// A server of these names.
    Server,
    /// The same, for five days more.
    Soon,
    /// The same, whose certificate ran out yesterday.
    Past,
    /// A client of this common name.
    Client,
    /// A client whose certificate ran out yesterday.
    Expired,
    /// A client whose certificate counts from tomorrow on.
    Early,
}

impl Authority {
    /// A new one of this name.
    ///
    /// # Panics
    /// When it cannot be made; so do all others here.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key"));
        let issuer = issuer.expect("an authority");
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("ca.pem"), issuer.pem()).expect("written");
        Self { issuer, folder, serials: RefCell::new(1), revoked: RefCell::default() }
    }

    /// Where its own certificate is.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.file("ca.pem")
    }

    /// A file in its folder.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Signs a certificate for the first name, and for the others as DNS names or addresses (of a
    /// client also as URIs); the files are named after `file`.
    ///
    /// # Panics
    /// When a name cannot be in a certificate.
    #[must_use]
    pub fn sign(&self, file: &str, purpose: Use, names: &[&str]) -> Pair {
        let serial = {
            let mut serials = self.serials.borrow_mut();
            *serials += 1;
            *serials
        };
        let sans = match purpose {
            Use::Server | Use::Soon | Use::Past => names.iter().map(ToString::to_string).collect(),
            Use::Client | Use::Expired | Use::Early => Vec::new(),
        };
        let mut params: CertificateParams = CertificateParams::new(sans).expect("names");
        if params.subject_alt_names.is_empty() {
            params.subject_alt_names = names[1..].iter().map(|name| of_client(name)).collect();
        }
        params.distinguished_name.push(DnType::CommonName, names[0]);
        params.serial_number = Some(serial.into());
        params.extended_key_usages = vec![match purpose {
            Use::Server | Use::Soon | Use::Past => ExtendedKeyUsagePurpose::ServerAuth,
            Use::Client | Use::Expired | Use::Early => ExtendedKeyUsagePurpose::ClientAuth,
        }];
        let now = SystemTime::now();
        params.not_before = match purpose {
            Use::Early => (now + DAY).into(),
            Use::Server | Use::Soon | Use::Past | Use::Client | Use::Expired => {
                (now - 10 * DAY).into()
            }
        };
        params.not_after = match purpose {
            // A broker that starts in the same second counts as many days as one that starts later.
            Use::Server | Use::Client | Use::Early => (now + 100 * DAY - DAY / 2).into(),
            Use::Soon => (now + 5 * DAY - DAY / 2).into(),
            Use::Expired | Use::Past => (now - DAY).into(),
        };
        let key = KeyPair::generate().expect("a key");
        let cert = params.signed_by(&key, &self.issuer).expect("a certificate");
        let pair = Pair {
            cert: self.file(&format!("{file}.pem")),
            key: self.file(&format!("{file}-key.pem")),
            serial,
        };
        replace(&pair.key, &key.serialize_pem());
        replace(&pair.cert, &cert.pem());
        pair
    }

    /// From now on this one is on the list of the revoked, which is written anew to `crl.pem`.
    pub fn revoke(&self, pair: &Pair) {
        self.revoked.borrow_mut().push(pair.serial);
        let _ = self.list();
    }

    /// Writes the list of the revoked anew.
    ///
    /// # Panics
    /// When it cannot be signed.
    #[must_use]
    pub fn list(&self) -> PathBuf {
        let now = SystemTime::now();
        let revoked = |serial: &u64| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: now.into(),
            reason_code: None,
            invalidity_date: None,
        };
        let params = CertificateRevocationListParams {
            this_update: now.into(),
            next_update: (now + DAY).into(),
            crl_number: 1.into(),
            issuing_distribution_point: None,
            revoked_certs: self.revoked.borrow().iter().map(revoked).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let list = params.signed_by(&self.issuer).expect("signed");
        replace(&self.file("crl.pem"), &list.pem().expect("text"));
        self.file("crl.pem")
    }
}

fn of_client(name: &str) -> SanType {
    let text = name.try_into().expect("ASCII");
    if name.contains("://") { SanType::URI(text) } else { SanType::DnsName(text) }
}

/// In one moment, as those who know how do it.
fn replace(path: &Path, text: &str) {
    let beside = path.with_extension("new");
    fs::write(&beside, text).expect("written");
    fs::rename(&beside, path).expect("renamed");
}
