//! The other side of an authentication: we show that we know a password, and hear whether the
//! server knows it too. Makes no nonce and waits for nobody.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::scram::credentials::ITERATIONS_MAX;
use crate::scram::exchange::ScramError;
use crate::scram::hash::{Hash, hash, hmac, is_same};
use crate::scram::method::Method;

/// We have named ourselves, and wait for the challenge.
#[derive(Debug)]
pub struct Opening {
    method: Method,
    bare: String,
    nonce: String,
}

/// A challenge, read. To answer it takes as many hashes as it says: not for a thread that others
/// wait for.
#[derive(Debug)]
pub struct Challenge {
    method: Method,
    signed: String,
    without_proof: String,
    salt: Vec<u8>,
    iterations: u32,
}

/// We have shown what we know; what the server shows is still to come.
#[derive(Debug)]
pub struct Proof {
    server_signature: Hash,
}

impl Opening {
    /// Names the user, with a nonce that is new: printable and without comma. Answers with the
    /// first message.
    #[must_use]
    pub fn new(method: Method, user: &str, nonce: &str) -> (Self, String) {
        let user = user.replace('=', "=3D").replace(',', "=2C");
        let bare = format!("n={user},r={nonce}");
        let first = format!("n,,{bare}");
        (Self { method, bare, nonce: nonce.into() }, first)
    }

    /// Takes the server's challenge.
    ///
    /// # Errors
    /// When it is none, or is another's.
    pub fn challenged(self, challenge: &[u8]) -> Result<Challenge, ScramError> {
        let text = std::str::from_utf8(challenge).map_err(|_| ScramError::Form)?;
        let mut fields = text.split(',');
        let mut field = |name| fields.next().and_then(|field| field.strip_prefix(name));
        let nonce = field("r=").ok_or(ScramError::Form)?;
        let salt = field("s=").ok_or(ScramError::Form)?;
        let iterations: u32 =
            field("i=").and_then(|text| text.parse().ok()).ok_or(ScramError::Form)?;
        let salt = STANDARD.decode(salt).map_err(|_| ScramError::Form)?;
        if !(1..=ITERATIONS_MAX).contains(&iterations) {
            return Err(ScramError::Form);
        }
        if nonce.len() <= self.nonce.len() || !nonce.starts_with(&self.nonce) {
            return Err(ScramError::Mismatch);
        }
        let without_proof = format!("c=biws,r={nonce}");
        let signed = format!("{},{text},{without_proof}", self.bare);
        Ok(Challenge { method: self.method, signed, without_proof, salt, iterations })
    }
}

impl Challenge {
    /// Proves that we know the password. Answers with the last message.
    #[must_use]
    pub fn prove(self, password: &[u8]) -> (Proof, String) {
        let method = self.method;
        let salted = self.salted(password);
        let client_key = hmac(method, &salted, &[b"Client Key"]);
        let stored_key = hash(method, &client_key);
        let signature = hmac(method, &stored_key, &[self.signed.as_bytes()]);
        let mut proof = client_key;
        proof.iter_mut().zip(&signature).for_each(|(key, signature)| *key ^= signature);
        let server_key = hmac(method, &salted, &[b"Server Key"]);
        let server_signature = hmac(method, &server_key, &[self.signed.as_bytes()]);
        let last = format!("{},p={}", self.without_proof, STANDARD.encode(proof));
        (Proof { server_signature }, last)
    }

    /// `Hi` of RFC 5802: PBKDF2 with one block.
    fn salted(&self, password: &[u8]) -> Hash {
        let mut last = hmac(self.method, password, &[self.salt.as_slice(), &[0, 0, 0, 1]]);
        let mut salted = last.clone();
        for _ in 1..self.iterations {
            last = hmac(self.method, password, &[&*last]);
            salted.iter_mut().zip(&last).for_each(|(sum, next)| *sum ^= next);
        }
        salted
    }
}

impl Proof {
    /// Takes the server's last message.
    ///
    /// # Errors
    /// When the server does not know the password, or says what is wrong with ours.
    pub fn confirmed(self, server_final: &[u8]) -> Result<(), ScramError> {
        let text = std::str::from_utf8(server_final).map_err(|_| ScramError::Form)?;
        let theirs = text.strip_prefix("v=").ok_or(ScramError::Proof)?;
        let theirs = theirs.split(',').next().unwrap_or_default();
        let theirs = STANDARD.decode(theirs).map_err(|_| ScramError::Form)?;
        is_same(&theirs, &self.server_signature).then_some(()).ok_or(ScramError::Proof)
    }
}

#[cfg(test)]
mod tests {
    use super::Opening;
    use crate::scram::exchange::ScramError;
    use crate::scram::method::Method;

    // The exchange that RFC 7677 prints.
    const NONCE: &str = "rOprNGfwEbeRWgbNEkqO";
    const CHALLENGE: &str = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
        s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
    const LAST: &str = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
        p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
    const CONFIRMED: &str = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";

    #[test]
    fn the_exchange_of_the_standard_goes_through() {
        let (opening, first) = Opening::new(Method::Sha256, "user", NONCE);
        assert_eq!(first, format!("n,,n=user,r={NONCE}"));
        let challenge = opening.challenged(CHALLENGE.as_bytes()).expect("ours");
        let (proof, last) = challenge.prove(b"pencil");
        assert_eq!(last, LAST);
        assert_eq!(proof.confirmed(CONFIRMED.as_bytes()), Ok(()));
    }

    #[test]
    fn a_server_that_does_not_know_the_password_is_found_out() {
        let challenge = || {
            let (opening, _) = Opening::new(Method::Sha256, "user", NONCE);
            opening.challenged(CHALLENGE.as_bytes()).expect("ours")
        };
        let (proof, _) = challenge().prove(b"pencils");
        assert_eq!(proof.confirmed(CONFIRMED.as_bytes()), Err(ScramError::Proof));
        let (proof, _) = challenge().prove(b"pencil");
        assert_eq!(proof.confirmed(b"e=other-error"), Err(ScramError::Proof));
    }

    #[test]
    fn challenges_are_judged() {
        for (challenge, error) in [
            ("r=another,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096", ScramError::Mismatch),
            ("r=rOprNGfwEbeRWgbNEkqO,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096", ScramError::Mismatch),
            ("r=rOprNGfwEbeRWgbNEkqOx,s=?,i=4096", ScramError::Form),
            ("r=rOprNGfwEbeRWgbNEkqOx,s=YQ==,i=4000000000", ScramError::Form),
            ("r=rOprNGfwEbeRWgbNEkqOx,s=YQ==,i=0", ScramError::Form),
            ("", ScramError::Form),
        ] {
            let (opening, _) = Opening::new(Method::Sha256, "user", NONCE);
            assert_eq!(opening.challenged(challenge.as_bytes()).err(), Some(error), "{challenge}");
        }
    }

    #[test]
    fn signs_in_a_name_are_written_as_the_standard_says() {
        let (_, first) = Opening::new(Method::Sha512, "a=b,c", "n");
        assert_eq!(first, "n,,n=a=3Db=2Cc,r=n");
    }
}
