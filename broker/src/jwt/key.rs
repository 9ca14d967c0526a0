//! A key that signatures of tokens are checked with. What it is says what it can check.

use std::fmt;

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256,
    RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, RsaParameters, RsaPublicKeyComponents,
    UnparsedPublicKey,
};

use super::algorithm::{Algorithm, Family};

/// The shortest secret: as long as what the shortest of its signatures has (RFC 7518, 3.2).
pub(crate) const SECRET_BYTES_MIN: usize = 32;
/// Bits of an RSA key, as the library takes them.
const RSA_BYTES: std::ops::RangeInclusive<usize> = 256..=1024;

/// A key.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Key {
    /// What tokens call it, if anything.
    pub(crate) id: Option<Box<str>>,
    /// The only way to sign that it is for; `None`: all that its kind has.
    pub(crate) only: Option<Algorithm>,
    material: Material,
}

#[derive(Clone, PartialEq, Eq)]
enum Material {
    Secret(Box<[u8]>),
    Rsa {
        modulus: Box<[u8]>,
        exponent: Box<[u8]>,
    },
    /// A point as X9.62 writes it, uncompressed.
    P256(Box<[u8]>),
    P384(Box<[u8]>),
}

impl Key {
    /// A secret that both sides have; `None`: it is too short to be one.
    pub(crate) fn secret(secret: &[u8]) -> Option<Self> {
        (secret.len() >= SECRET_BYTES_MIN).then(|| Self::of(Material::Secret(secret.into())))
    }

    /// An RSA key; `None`: it is too small, or too large.
    pub(crate) fn rsa(modulus: &[u8], exponent: &[u8]) -> Option<Self> {
        let (modulus, exponent) = (without_zeros(modulus), without_zeros(exponent));
        let is_one = RSA_BYTES.contains(&modulus.len()) && (1..=8).contains(&exponent.len());
        let (modulus, exponent) = (modulus.into(), exponent.into());
        is_one.then(|| Self::of(Material::Rsa { modulus, exponent }))
    }

    /// A point of a curve; `None`: it is none of ours.
    pub(crate) fn point(family: Family, point: &[u8]) -> Option<Self> {
        let is_whole = point.first() == Some(&4);
        match family {
            Family::P256 if is_whole && point.len() == 65 => {
                Some(Self::of(Material::P256(point.into())))
            }
            Family::P384 if is_whole && point.len() == 97 => {
                Some(Self::of(Material::P384(point.into())))
            }
            _ => None,
        }
    }

    /// The same by this name.
    pub(crate) fn called(self, id: Option<Box<str>>, only: Option<Algorithm>) -> Self {
        Self { id, only, ..self }
    }

    const fn of(material: Material) -> Self {
        Self { id: None, only: None, material }
    }

    pub(crate) const fn family(&self) -> Family {
        match self.material {
            Material::Secret(_) => Family::Hmac,
            Material::Rsa { .. } => Family::Rsa,
            Material::P256(_) => Family::P256,
            Material::P384(_) => Family::P384,
        }
    }

    /// Whether it may check what is signed so.
    pub(crate) fn is_for(&self, algorithm: Algorithm) -> bool {
        algorithm.family() == self.family() && self.only.is_none_or(|only| only == algorithm)
    }

    /// Whether this is its signature of the message.
    pub(crate) fn has_signed(&self, by: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        self.is_for(by)
            && match &self.material {
                Material::Secret(secret) => is_mac(secret, by, message, signature),
                Material::Rsa { modulus, exponent } => rsa(by).is_some_and(|parameters| {
                    let key = RsaPublicKeyComponents { n: modulus, e: exponent };
                    key.verify(parameters, message, signature).is_ok()
                }),
                Material::P256(point) => {
                    let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point);
                    key.verify(message, signature).is_ok()
                }
                Material::P384(point) => {
                    let key = UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, point);
                    key.verify(message, signature).is_ok()
                }
            }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("id", &self.id).field("family", &self.family()).finish()
    }
}

fn is_mac(secret: &[u8], by: Algorithm, message: &[u8], signature: &[u8]) -> bool {
    let hash = match by {
        Algorithm::Hs256 => hmac::HMAC_SHA256,
        Algorithm::Hs384 => hmac::HMAC_SHA384,
        Algorithm::Hs512 => hmac::HMAC_SHA512,
        _ => return false,
    };
    // Takes as long for a wrong one, wherever it is wrong.
    hmac::verify(&hmac::Key::new(hash, secret), message, signature).is_ok()
}

const fn rsa(by: Algorithm) -> Option<&'static RsaParameters> {
    match by {
        Algorithm::Rs256 => Some(&RSA_PKCS1_2048_8192_SHA256),
        Algorithm::Rs384 => Some(&RSA_PKCS1_2048_8192_SHA384),
        Algorithm::Rs512 => Some(&RSA_PKCS1_2048_8192_SHA512),
        Algorithm::Ps256 => Some(&RSA_PSS_2048_8192_SHA256),
        Algorithm::Ps384 => Some(&RSA_PSS_2048_8192_SHA384),
        Algorithm::Ps512 => Some(&RSA_PSS_2048_8192_SHA512),
        _ => None,
    }
}

fn without_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    &number[zeros..]
}
