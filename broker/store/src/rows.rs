//! What the rows of the tables hold: typed here, bytes everywhere below. Each begins with the
//! version of its form, so that a later build can read what an earlier one wrote.

pub mod ban;
pub mod bridge;
pub mod cursor;
pub mod delayed;
mod field;
pub mod group;
pub mod link;
pub mod offset;
pub mod producer;
pub mod receipt;
pub mod retained;
pub mod session;
pub mod share;
pub mod subscription;
pub mod transaction;
pub mod will;

pub use field::RowError;

/// Keys of rows that belong to a session: its client id, a zero byte (which no client id holds),
/// then what names the row within the session.
#[must_use]
pub fn key_in(client_id: &str, rest: &[u8]) -> Vec<u8> {
    let mut key = Vec::with_capacity(client_id.len() + 1 + rest.len());
    key.extend_from_slice(client_id.as_bytes());
    key.push(0);
    key.extend_from_slice(rest);
    key
}

/// The bounds between which all rows of a session lie.
#[must_use]
pub fn bounds_of(client_id: &str) -> (Vec<u8>, Vec<u8>) {
    let mut end = client_id.as_bytes().to_vec();
    end.push(1);
    (key_in(client_id, &[]), end)
}

/// What follows the client id in a key made by [`key_in`].
#[must_use]
pub fn rest_of<'a>(client_id: &str, key: &'a [u8]) -> Option<&'a [u8]> {
    key.strip_prefix(client_id.as_bytes())?.strip_prefix(&[0])
}
