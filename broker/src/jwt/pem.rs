//! Keys from files: public keys and certificates in PEM, and secrets as they are.

use std::path::{Path, PathBuf};

use rustls::pki_types::pem::{PemObject, SectionKind};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey;
use x509_parser::x509::SubjectPublicKeyInfo;

use super::algorithm::Family;
use super::key::{Key, SECRET_BYTES_MIN};

/// The curves, by their object identifiers.
const P256: &str = "1.2.840.10045.3.1.7";
const P384: &str = "1.3.132.0.34";

/// Why a file with a key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// It cannot be read.
    #[error("cannot read {}", .0.display())]
    Read(PathBuf, #[source] std::io::Error),
    /// A secret that can be guessed.
    #[error(
        "{}: a secret of {} bytes is too short, it takes {SECRET_BYTES_MIN}", .0.display(), .1
    )]
    Short(PathBuf, usize),
    /// What everybody has is no secret.
    #[error("{}: this is PEM, no secret: name public keys in auth.jwt.key_files", .0.display())]
    NoSecret(PathBuf),
    /// What signs is not for us.
    #[error(
        "{}: a private key; the broker needs the public one, and must not have this", .0.display()
    )]
    Private(PathBuf),
    /// Something else.
    #[error(
        "{}: no public key that is known: RSA of 2,048 to 8,192 bits, P-256 or P-384, as PEM \
         (BEGIN PUBLIC KEY, or a certificate)", .0.display()
    )]
    Unknown(PathBuf),
    /// A set of keys that is none.
    #[error("{}: no set of keys (JWKS)", .0.display())]
    NoSet(PathBuf, #[source] super::jwks::JwksError),
}

/// The secret that a file holds; a line break at its end is no part of it.
pub(crate) fn read_secret(path: &Path) -> Result<Key, KeyFileError> {
    let bytes = read(path)?;
    let mut secret = &*bytes;
    if let Some(cut) = secret.strip_suffix(b"\n") {
        secret = cut.strip_suffix(b"\r").unwrap_or(cut);
    }
    if secret.trim_ascii_start().starts_with(b"-----BEGIN") {
        return Err(KeyFileError::NoSecret(path.into()));
    }
    Key::secret(secret).ok_or_else(|| KeyFileError::Short(path.into(), secret.len()))
}

/// The public keys that a file holds.
pub(crate) fn read_keys(path: &Path) -> Result<Vec<Key>, KeyFileError> {
    let unknown = || KeyFileError::Unknown(path.into());
    let bytes = read(path)?;
    let mut keys = Vec::new();
    for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(&bytes) {
        let (kind, der) = section.map_err(|_| unknown())?;
        let key = match kind {
            SectionKind::PublicKey => {
                SubjectPublicKeyInfo::from_der(&der).ok().and_then(|(_, info)| key_of(&info))
            }
            SectionKind::Certificate => X509Certificate::from_der(&der)
                .ok()
                .and_then(|(_, certificate)| key_of(certificate.public_key())),
            SectionKind::PrivateKey | SectionKind::RsaPrivateKey | SectionKind::EcPrivateKey => {
                return Err(KeyFileError::Private(path.into()));
            }
            _ => None,
        };
        keys.push(key.ok_or_else(unknown)?);
    }
    if keys.is_empty() { Err(unknown()) } else { Ok(keys) }
}

fn key_of(info: &SubjectPublicKeyInfo<'_>) -> Option<Key> {
    match info.parsed().ok()? {
        PublicKey::RSA(rsa) => Key::rsa(rsa.modulus, rsa.exponent),
        PublicKey::EC(point) => {
            let curve = info.algorithm.parameters.as_ref()?.as_oid().ok()?;
            let family = match curve.to_id_string().as_str() {
                P256 => Family::P256,
                P384 => Family::P384,
                _ => return None,
            };
            Key::point(family, point.data())
        }
        _ => None,
    }
}

pub(crate) fn read(path: &Path) -> Result<Vec<u8>, KeyFileError> {
    std::fs::read(path).map_err(|error| KeyFileError::Read(path.into(), error))
}
