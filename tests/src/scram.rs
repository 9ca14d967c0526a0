//! The client's side of SCRAM-SHA-256, written for tests: may lie where a client must not.

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// A client with one password.
#[derive(Clone, Copy, Debug)]
pub struct Scram<'a> {
    /// Who it says it is.
    pub user: &'a str,
    /// What it knows.
    pub password: &'a str,
}

/// Its own part of every nonce.
const NONCE: &str = "fyko+d2lbbFgONRv9qkxdawL";

impl Scram<'_> {
    /// The first message.
    #[must_use]
    pub fn first(&self) -> String {
        format!("n,,n={},r={NONCE}", self.user)
    }

    /// The last message after this challenge, and what the server must answer.
    ///
    /// # Panics
    /// When the challenge is none.
    #[must_use]
    pub fn last(&self, challenge: &str) -> (String, String) {
        let nonce = field(challenge, "r=");
        assert!(nonce.starts_with(NONCE) && nonce.len() > NONCE.len(), "{challenge}");
        let salt = STANDARD.decode(field(challenge, "s=")).expect("base64");
        let iterations = field(challenge, "i=").parse().expect("a number");
        let salted =
            pbkdf2::pbkdf2_hmac_array::<Sha256, 32>(self.password.as_bytes(), &salt, iterations);
        let client_key = mac(&salted, "Client Key");
        let without_proof = format!("c=biws,r={nonce}");
        let signed = format!("n={},r={NONCE},{challenge},{without_proof}", self.user);
        let mut proof = mac(&Sha256::digest(client_key), &signed);
        proof.iter_mut().zip(client_key).for_each(|(proof, key)| *proof ^= key);
        let last = format!("{without_proof},p={}", STANDARD.encode(proof));
        let answer = STANDARD.encode(mac(&mac(&salted, "Server Key"), &signed));
        (last, format!("v={answer}"))
    }
}

fn field<'a>(challenge: &'a str, name: &str) -> &'a str {
    let mut fields = challenge.split(',');
    fields.find_map(|field| field.strip_prefix(name)).expect("a challenge")
}

fn mac(key: &[u8], text: &str) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any length will do");
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().into()
}
