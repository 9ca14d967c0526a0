//! Hashes of passwords, as files hold them: ours (argon2id) and those of Mosquitto. Slow on
//! purpose: never to be asked on a core.

use std::fmt;

use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine;
use base64::alphabet::STANDARD as ALPHABET;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use sha2::{Digest, Sha512};

/// Argon2 pads nothing, Mosquitto's other forms do: read both.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &ALPHABET,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What new hashes cost: 19 MiB and two passes, as OWASP advises.
const MEMORY_KIB: u32 = 19_456;
const PASSES: u32 = 2;
const LANES: u32 = 1;
const SALT_BYTES: usize = 16;
const HASH_BYTES: usize = 32;

/// What a line may ask of us: a hundred times the usual, so that one line cannot stop the rest.
const MEMORY_KIB_MAX: u32 = 256 * 1024;
const PASSES_MAX: u32 = 64;
const LANES_MAX: u32 = 16;
const ITERATIONS_MAX: u32 = 10_000_000;
const BYTES_MAX: usize = 64;
const BYTES_MIN: usize = 8;

/// A hash with its salt and what making it costs.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct PasswordHash {
    cost: Cost,
    salt: Box<[u8]>,
    hash: Box<[u8]>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cost {
    /// `$argon2id$v=19$m=…,t=…,p=…$salt$hash`.
    Argon2id { memory_kib: u32, passes: u32, lanes: u32 },
    /// `$7$iterations$salt$hash`: PBKDF2 with SHA-512.
    Pbkdf2(u32),
    /// `$6$salt$hash`: SHA-512 of the password and the salt.
    Sha512,
}

/// Secrets do not go into logs.
impl fmt::Debug for PasswordHash {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "PasswordHash({:?})", self.cost)
    }
}

impl PasswordHash {
    /// A new hash; `None` when the system has no randomness to give, or no memory.
    pub(crate) fn make(password: &[u8]) -> Option<Self> {
        let mut salt = [0; SALT_BYTES];
        getrandom::fill(&mut salt).ok()?;
        let cost = Cost::Argon2id { memory_kib: MEMORY_KIB, passes: PASSES, lanes: LANES };
        let mut hash = vec![0; HASH_BYTES];
        fill(cost, password, &salt, &mut hash)?;
        Some(Self { cost, salt: salt.into(), hash: hash.into() })
    }

    /// Reads what stands behind the user's name. `None`: it is none of the forms that we know, or
    /// asks for more than any hash should.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (kind, rest) = text.strip_prefix('$')?.split_once('$')?;
        let (cost, rest) = match kind {
            "argon2id" => {
                let (version, rest) = rest.split_once('$')?;
                let (cost, rest) = rest.split_once('$')?;
                (version == "v=19").then_some((argon2_cost(cost)?, rest))?
            }
            "7" => {
                let (iterations, rest) = rest.split_once('$')?;
                let iterations = within(iterations.parse().ok()?, 1, ITERATIONS_MAX)?;
                (Cost::Pbkdf2(iterations), rest)
            }
            "6" => (Cost::Sha512, rest),
            _ => return None,
        };
        let (salt, hash) = rest.split_once('$')?;
        let (salt, hash) = (BASE64.decode(salt).ok()?, BASE64.decode(hash).ok()?);
        let is_whole = |bytes: &[u8]| (BYTES_MIN..=BYTES_MAX).contains(&bytes.len());
        let is_whole = is_whole(&salt)
            && is_whole(&hash)
            && (cost != Cost::Sha512 || hash.len() == Sha512::output_size());
        is_whole.then(|| Self { cost, salt: salt.into(), hash: hash.into() })
    }

    /// Whether it is the hash of this password. `None`: it could not be made.
    pub(crate) fn is_of(&self, password: &[u8]) -> Option<bool> {
        let mut hash = vec![0; self.hash.len()];
        fill(self.cost, password, &self.salt, &mut hash)?;
        // Where they differ is not to be heard from how long it takes.
        let differences = hash.iter().zip(&self.hash).fold(0, |all, (a, b)| all | (a ^ b));
        Some(differences == 0)
    }

    /// One that costs the same and is of no password that anybody knows.
    pub(crate) fn mock(&self) -> Option<Self> {
        let (mut salt, mut hash) = (self.salt.clone(), self.hash.clone());
        getrandom::fill(&mut salt).ok()?;
        getrandom::fill(&mut hash).ok()?;
        Some(Self { cost: self.cost, salt, hash })
    }

    /// Whether it is of the form that we make.
    pub(crate) fn is_current(&self) -> bool {
        matches!(self.cost, Cost::Argon2id { .. })
    }
}

/// As it stands in a file.
impl fmt::Display for PasswordHash {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.cost {
            Cost::Argon2id { memory_kib, passes, lanes } => {
                write!(out, "$argon2id$v=19$m={memory_kib},t={passes},p={lanes}")?;
            }
            Cost::Pbkdf2(iterations) => write!(out, "$7${iterations}")?,
            Cost::Sha512 => out.write_str("$6")?,
        }
        write!(out, "${}${}", BASE64.encode(&self.salt), BASE64.encode(&self.hash))
    }
}

fn argon2_cost(text: &str) -> Option<Cost> {
    let mut parts = text.split(',');
    let mut number = |key: &str, least, most| {
        let value = parts.next()?.strip_prefix(key)?.strip_prefix('=')?;
        within(value.parse().ok()?, least, most)
    };
    let memory_kib = number("m", 8, MEMORY_KIB_MAX)?;
    let (passes, lanes) = (number("t", 1, PASSES_MAX)?, number("p", 1, LANES_MAX)?);
    let is_whole = parts.next().is_none() && memory_kib >= 8 * lanes;
    is_whole.then_some(Cost::Argon2id { memory_kib, passes, lanes })
}

fn within(number: u32, least: u32, most: u32) -> Option<u32> {
    (least..=most).contains(&number).then_some(number)
}

fn fill(cost: Cost, password: &[u8], salt: &[u8], hash: &mut [u8]) -> Option<()> {
    match cost {
        Cost::Argon2id { memory_kib, passes, lanes } => {
            let params = Params::new(memory_kib, passes, lanes, Some(hash.len())).ok()?;
            let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
            argon2.hash_password_into(password, salt, hash).ok()?;
        }
        Cost::Pbkdf2(iterations) => {
            pbkdf2::pbkdf2_hmac::<Sha512>(password, salt, iterations, hash);
        }
        Cost::Sha512 => {
            let digest = Sha512::new().chain_update(password).chain_update(salt).finalize();
            hash.copy_from_slice(&digest);
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::PasswordHash;

    #[test]
    fn our_own_hash_is_of_its_password_alone_and_reads_back() {
        let hash = PasswordHash::make(b"pencil").expect("randomness");
        let read = PasswordHash::parse(&hash.to_string()).expect("our own form");
        assert!(read == hash && read.is_current());
        assert_eq!(read.is_of(b"pencil"), Some(true));
        assert_eq!(read.is_of(b"pencils"), Some(false));
        assert_eq!(read.mock().and_then(|mock| mock.is_of(b"pencil")), Some(false));
        assert!(PasswordHash::make(b"pencil").expect("randomness") != hash, "a salt of its own");
    }

    #[test]
    fn hashes_of_other_programs_are_understood() {
        for text in [
            "$6$AAECAwQFBgcICQoL$rRzn37trE3g/BjzdN2mmtKsUjbdiQp6JD9blv4UHWyEGk5h7UCh8xJCi6Kfnkho\
             q2n9xbnqkIfqD5tBAb7eLdQ==",
            "$7$101$AAECAwQFBgcICQoL$itntC8QS4iuE06UG7o0PxU0qM5UBFdNFBtAux6ya3Syz6oR19T2jx8EIwdBk\
             k+3zME8xITagvpZst1brmEBXRQ==",
        ] {
            let hash = PasswordHash::parse(text).expect("a hash");
            assert_eq!(hash.is_of(b"pencil"), Some(true), "{text}");
            assert_eq!(hash.is_of(b"rubber"), Some(false), "{text}");
            assert!(!hash.is_current());
        }
    }

    /// Of "password" with the salt "somesalt", as the reference implementation's own tests have it.
    #[test]
    fn hashes_of_argon2_by_its_makers_are_understood() {
        for text in [
            "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
            "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GR\
             PPc",
        ] {
            let hash = PasswordHash::parse(text).expect("a hash");
            assert_eq!(hash.is_of(b"password"), Some(true), "{text}");
            assert_eq!(hash.is_of(b"pencil"), Some(false), "{text}");
        }
    }

    #[test]
    fn what_is_no_hash_or_costs_too_much_is_refused() {
        for text in [
            "pencil",
            "",
            "$6$",
            "$5$c2FsdHNhbHQ=$aGFzaGhhc2g=",
            "$6$c2FsdHNhbHQ=$aGFzaGhhc2g=",
            "$7$0$c2FsdHNhbHQ=$aGFzaGhhc2g=",
            "$7$99999999$c2FsdHNhbHQ=$aGFzaGhhc2g=",
            "$7$101$c2FsdHNhbHQ=$!",
            "$argon2i$v=19$m=64,t=2,p=1$c2FsdHNhbHQ$aGFzaGhhc2g",
            "$argon2id$v=16$m=64,t=2,p=1$c2FsdHNhbHQ$aGFzaGhhc2g",
            "$argon2id$v=19$m=4000000,t=2,p=1$c2FsdHNhbHQ$aGFzaGhhc2g",
            "$argon2id$v=19$m=64,t=2$c2FsdHNhbHQ$aGFzaGhhc2g",
        ] {
            assert_eq!(PasswordHash::parse(text), None, "{text}");
        }
        assert!(PasswordHash::parse("$7$101$c2FsdHNhbHQ=$aGFzaGhhc2g=").is_some());
    }

    #[test]
    fn secrets_are_not_printed() {
        let hash = PasswordHash::parse("$7$101$c2FsdHNhbHQ=$aGFzaGhhc2g=").expect("a hash");
        assert_eq!(format!("{hash:?}"), "PasswordHash(Pbkdf2(101))");
    }
}
