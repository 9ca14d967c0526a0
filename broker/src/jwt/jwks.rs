//! A set of keys as JSON (RFC 7517). What is not for signatures of tokens, or of a kind that we do
//! not have, is passed over; a set that is none is an error. Fetches nothing.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

use super::algorithm::{Algorithm, Family};
use super::key::Key;

/// Keys of one set.
pub(crate) const KEYS_MAX: usize = 100;
/// Longest name of a key, in bytes.
const ID_BYTES_MAX: usize = 1_024;

/// Why a set cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JwksError {
    /// It is no JSON, or not of the form.
    #[error("not of the form {{\"keys\": […]}}")]
    Form(#[source] serde_json::Error),
    /// Too much of it.
    #[error("more than {KEYS_MAX} keys")]
    Many,
    /// Nothing in it is of use.
    #[error("no key in it can check a signature: RSA from 2,048 bits, P-256, P-384")]
    Empty,
}

#[derive(Deserialize)]
struct Set {
    keys: Vec<serde_json::Value>,
}

/// One key, as far as it matters here.
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    key_ops: Option<Vec<String>>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

/// Reads a set.
pub(crate) fn parse(json: &[u8]) -> Result<Vec<Key>, JwksError> {
    let set: Set = serde_json::from_slice(json).map_err(JwksError::Form)?;
    if set.keys.len() > KEYS_MAX {
        return Err(JwksError::Many);
    }
    let keys: Vec<Key> = set
        .keys
        .into_iter()
        .filter_map(|key| serde_json::from_value(key).ok())
        .filter_map(|key| key_of(&key))
        .collect();
    if keys.is_empty() { Err(JwksError::Empty) } else { Ok(keys) }
}

/// A secret (`oct`) is passed over: what is fetched, or lies about in a set of keys, is none.
fn key_of(jwk: &Jwk) -> Option<Key> {
    let is_for_signatures = jwk.purpose.as_deref().is_none_or(|purpose| purpose == "sig")
        && jwk.key_ops.as_ref().is_none_or(|all| all.iter().any(|one| one == "verify"));
    if !is_for_signatures {
        return None;
    }
    let key = match (jwk.kty.as_str(), jwk.crv.as_deref()) {
        ("RSA", _) => Key::rsa(&number(jwk.n.as_deref())?, &number(jwk.e.as_deref())?),
        ("EC", Some("P-256")) => Key::point(Family::P256, &point(jwk, 32)?),
        ("EC", Some("P-384")) => Key::point(Family::P384, &point(jwk, 48)?),
        _ => None,
    }?;
    // One that is for something else only is not for this.
    let only = match &jwk.alg {
        Some(word) => Some(Algorithm::of_word(word).filter(|only| key.is_for(*only))?),
        None => None,
    };
    let id = jwk.kid.as_deref().filter(|id| id.len() <= ID_BYTES_MAX);
    Some(key.called(id.map(Into::into), only))
}

fn number(text: Option<&str>) -> Option<Vec<u8>> {
    // Some write it with padding.
    URL_SAFE_NO_PAD.decode(text?.trim_end_matches('=')).ok()
}

fn point(jwk: &Jwk, bytes: usize) -> Option<Vec<u8>> {
    let (x, y) = (number(jwk.x.as_deref())?, number(jwk.y.as_deref())?);
    (x.len() == bytes && y.len() == bytes).then(|| [&[4], &*x, &*y].concat())
}
