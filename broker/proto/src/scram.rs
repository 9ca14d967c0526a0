//! SCRAM-SHA-256 and SCRAM-SHA-512 (RFC 5802, RFC 7677), both sides: a client shows that it
//! knows a password which we do not have, and we show that we know it too. Never hashes a password.

mod client;
mod credentials;
mod exchange;
mod hash;
mod method;
mod users;

pub use client::{Challenge, Opening, Proof};
pub use credentials::{Credentials, CredentialsError, ITERATIONS_MAX, ITERATIONS_MIN};
pub use exchange::{Exchange, ScramError, Shown};
pub use method::Method;
pub use users::{Users, UsersError};
