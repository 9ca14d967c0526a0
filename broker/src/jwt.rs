//! Tokens (JWT) as passwords: keys, signatures, claims. Decides nothing about topics, and never
//! writes a token anywhere.

mod algorithm;
mod claims;
mod due;
mod fault;
mod fetch;
mod jwks;
mod key;
mod keys;
mod pem;
mod token;
mod verifier;

pub(crate) use claims::{groups, is_name, narrow};
pub(crate) use fetch::{Fetch, Source};
pub use jwks::JwksError;
pub use pem::KeyFileError;
pub(crate) use token::looks_like_token;
pub(crate) use verifier::{Verifier, load};
