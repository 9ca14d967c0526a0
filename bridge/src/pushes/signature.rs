//! What shows the receiver who sent a request, and when. Keeps no secret.

use std::fmt::Write;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// HMAC-SHA-256 over the time, a dot and the body, in hexadecimal digits.
pub(super) fn sign(secret: &str, at_s: i64, body: &[u8]) -> Option<String> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).ok()?;
    mac.update(format!("{at_s}.").as_bytes());
    mac.update(body);
    let mut digits = String::new();
    for byte in mac.finalize().into_bytes() {
        // Writing to a String cannot fail.
        let _ = write!(digits, "{byte:02x}");
    }
    Some(digits)
}

#[cfg(test)]
mod tests {
    use super::sign;

    #[test]
    fn the_signature_is_that_of_the_time_and_the_body() {
        let expected = "42718ec36cce5340b5a05af041e58b5572bc6b2fc8fda0030119319cba986520";
        assert_eq!(sign("Jefe", 1_700_000_000, b"[]").as_deref(), Some(expected));
        assert_ne!(sign("Jefe", 1_700_000_001, b"[]").as_deref(), Some(expected));
        assert_ne!(sign("jefe", 1_700_000_000, b"[]").as_deref(), Some(expected));
    }
}
