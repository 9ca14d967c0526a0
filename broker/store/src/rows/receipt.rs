//! A QoS 2 message from a client that is stored and not yet released.

use tidewire_proto::id::PacketId;

use crate::rows::field::RowError;
use crate::rows::{key_in, rest_of};

/// The value of every row; only the key says something.
pub const ROW: &[u8] = &[1];

/// The key of an exchange in `Table::Inbound`.
#[must_use]
pub fn key(client_id: &str, id: PacketId) -> Box<[u8]> {
    key_in(client_id, &id.get().to_be_bytes()).into()
}

/// The packet id from a key.
///
/// # Errors
/// When the key is not of this session or not of this form.
pub fn packet_id(client_id: &str, key: &[u8]) -> Result<PacketId, RowError> {
    let rest = rest_of(client_id, key).ok_or(RowError)?;
    let number = u16::from_be_bytes(rest.try_into().map_err(|_| RowError)?);
    PacketId::new(number).ok_or(RowError)
}
