//! A message in flight to a client.

use tidewire_proto::id::PartitionId;
use tidewire_proto::qos::Qos;
use tidewire_proto::session::window::{Exchange, Place, Step};

use crate::rows::field::{Fields, RowError};
use crate::rows::{key_in, rest_of};

const VERSION: u8 = 1;
const RELEASED: u8 = 0b100;
const RETAIN: u8 = 0b1000;

/// The key of an exchange in `Table::Outbound`: rows of a session sort by number.
#[must_use]
pub fn key(client_id: &str, number: u64) -> Box<[u8]> {
    key_in(client_id, &number.to_be_bytes()).into()
}

/// The number of an exchange from its key.
///
/// # Errors
/// When the key is not of this session or too short.
pub fn number(client_id: &str, key: &[u8]) -> Result<u64, RowError> {
    let rest = rest_of(client_id, key).ok_or(RowError)?;
    Ok(u64::from_be_bytes(rest.try_into().map_err(|_| RowError)?))
}

/// As bytes.
#[must_use]
pub fn encode(exchange: &Exchange) -> Box<[u8]> {
    let mut flags = exchange.qos.bits();
    if exchange.step == Step::Released {
        flags |= RELEASED;
    }
    if exchange.retain {
        flags |= RETAIN;
    }
    let mut row = vec![VERSION, flags];
    row.extend_from_slice(&exchange.place.partition.0.to_le_bytes());
    row.extend_from_slice(&exchange.place.offset.to_le_bytes());
    row.into()
}

/// From bytes.
///
/// # Errors
/// When the row is damaged.
pub fn decode(row: &[u8]) -> Result<Exchange, RowError> {
    let mut fields = Fields::of(row, VERSION)?;
    let flags = fields.u8()?;
    let partition = PartitionId(fields.u32()?);
    let offset = fields.u64()?;
    fields.end()?;
    let qos = Qos::from_bits(flags & 0b11).ok_or(RowError)?;
    let step = if flags & RELEASED != 0 { Step::Released } else { Step::Published };
    Ok(Exchange { place: Place { partition, offset }, qos, step, retain: flags & RETAIN != 0 })
}

#[cfg(test)]
mod tests {
    use super::{decode, encode, key, number};
    use tidewire_proto::id::PartitionId;
    use tidewire_proto::qos::Qos;
    use tidewire_proto::session::window::{Exchange, Place, Step};

    #[test]
    fn a_row_reads_back_as_it_was_written() {
        for (qos, step, retain) in [
            (Qos::AtLeastOnce, Step::Published, false),
            (Qos::ExactlyOnce, Step::Published, true),
            (Qos::ExactlyOnce, Step::Released, false),
        ] {
            let place = Place { partition: PartitionId(3), offset: 1 << 40 };
            let exchange = Exchange { place, qos, step, retain };
            assert_eq!(decode(&encode(&exchange)), Ok(exchange));
        }
        assert_eq!(number("device", &key("device", 300)), Ok(300));
        assert!(key("device", 255) < key("device", 256));
    }
}
