//! The two functions that all of it is made of, with either hash.

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256, Sha512};

use super::method::Method;

/// A key, or what comes out of a hash: as long as the method's hash is.
pub(super) type Hash = Box<[u8]>;

pub(super) fn hmac(method: Method, key: &[u8], parts: &[&[u8]]) -> Hash {
    fn mac<M: Mac + KeyInit>(key: &[u8], parts: &[&[u8]]) -> Hash {
        let mac = <M as KeyInit>::new_from_slice(key);
        let mut mac = mac.expect("HMAC takes a key of any length");
        parts.iter().for_each(|part| mac.update(part));
        mac.finalize().into_bytes().to_vec().into()
    }
    match method {
        Method::Sha256 => mac::<Hmac<Sha256>>(key, parts),
        Method::Sha512 => mac::<Hmac<Sha512>>(key, parts),
    }
}

pub(super) fn hash(method: Method, bytes: &[u8]) -> Hash {
    match method {
        Method::Sha256 => Sha256::digest(bytes).to_vec().into(),
        Method::Sha512 => Sha512::digest(bytes).to_vec().into(),
    }
}

/// Takes as long whether the first byte differs or none does.
pub(super) fn is_same(a: &[u8], b: &[u8]) -> bool {
    let differs = a.iter().zip(b).fold(0, |found, (a, b)| found | (a ^ b));
    a.len() == b.len() && std::hint::black_box(differs) == 0
}
