//! A token as it crosses the wire: cut into its parts, and its head read. Believes nothing of it.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

use super::algorithm::Algorithm;
use super::fault::Fault;

/// Longest token that is looked at, in bytes.
pub(crate) const TOKEN_BYTES_MAX: usize = 32 * 1024;
/// Longest head that is looked at, as text.
const HEAD_BYTES_MAX: usize = 4 * 1024;

/// A token, cut.
pub(crate) struct Token<'a> {
    pub(crate) algorithm: Algorithm,
    /// The name of the key that it says has signed it.
    pub(crate) key_id: Option<String>,
    /// What is signed.
    pub(crate) message: &'a [u8],
    /// The claims, as text.
    claims: &'a str,
    pub(crate) signature: Vec<u8>,
}

#[derive(Deserialize)]
struct Head {
    alg: String,
    kid: Option<String>,
    crit: Option<serde_json::Value>,
}

impl<'a> Token<'a> {
    /// Cuts it and reads its head.
    pub(crate) fn read(bytes: &'a [u8]) -> Result<Self, Fault> {
        let (head, claims, signature) = cut(bytes).ok_or(Fault::Form)?;
        let json = URL_SAFE_NO_PAD.decode(head).map_err(|_| Fault::Form)?;
        let read: Head = serde_json::from_slice(&json).map_err(|_| Fault::Form)?;
        if read.crit.is_some() {
            return Err(Fault::Critical);
        }
        let algorithm = Algorithm::of_word(&read.alg).ok_or(Fault::Algorithm)?;
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| Fault::Form)?;
        let message = &bytes[..head.len() + 1 + claims.len()];
        Ok(Self { algorithm, key_id: read.kid, message, claims, signature })
    }

    /// What it says. To be read once the signature is known to be right.
    pub(crate) fn claims(&self) -> Result<Vec<u8>, Fault> {
        URL_SAFE_NO_PAD.decode(self.claims).map_err(|_| Fault::Form)
    }
}

/// Whether a password is meant to be a token: three parts, of which the first is JSON. Cheap.
pub(crate) fn looks_like_token(password: &[u8]) -> bool {
    let Some((head, _, _)) = cut(password) else { return false };
    let json = URL_SAFE_NO_PAD.decode(head).unwrap_or_default();
    let json = json.trim_ascii();
    json.starts_with(b"{") && json.ends_with(b"}")
}

fn cut(bytes: &[u8]) -> Option<(&str, &str, &str)> {
    if bytes.len() > TOKEN_BYTES_MAX {
        return None;
    }
    let mut parts = std::str::from_utf8(bytes).ok()?.split('.');
    let (head, claims, signature) = (parts.next()?, parts.next()?, parts.next()?);
    (parts.next().is_none() && head.len() <= HEAD_BYTES_MAX).then_some((head, claims, signature))
}
