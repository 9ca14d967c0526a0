//! A subscription of a session that outlives its connections.

use tidewire_proto::qos::Qos;
use tidewire_proto::routing::grant::Grant;
use tidewire_proto::session::subscription::Subscription;

use crate::rows::cursor::{decode_positions, encode_positions};
use crate::rows::field::{Fields, RowError, put_varint};
use crate::rows::{key_in, rest_of};

const VERSION: u8 = 1;
const NO_LOCAL: u8 = 0b100;
const RETAIN_AS_PUBLISHED: u8 = 0b1000;
const HAS_BEGINNING: u8 = 0b1_0000;
const IS_REPLAY: u8 = 0b10_0000;
const EXCLUSIVE: u8 = 0b100_0000;
const REWRITTEN: u8 = 0b1000_0000;

/// The key of a subscription in `Table::Subscriptions`.
#[must_use]
pub fn key(client_id: &str, filter: &str) -> Box<[u8]> {
    key_in(client_id, filter.as_bytes()).into()
}

/// The filter from a key.
///
/// # Errors
/// When the key is not of this session or not of this form.
pub fn filter<'a>(client_id: &str, key: &'a [u8]) -> Result<&'a str, RowError> {
    let rest = rest_of(client_id, key).ok_or(RowError)?;
    std::str::from_utf8(rest).map_err(|_| RowError)
}

/// As bytes.
#[must_use]
pub fn encode(subscription: &Subscription) -> Box<[u8]> {
    let grant = &subscription.grant;
    let mut flags = grant.qos.bits();
    for (is_set, flag) in [
        (grant.no_local, NO_LOCAL),
        (grant.retain_as_published, RETAIN_AS_PUBLISHED),
        (subscription.since.is_some(), HAS_BEGINNING),
        (subscription.is_replay, IS_REPLAY),
        (subscription.is_exclusive, EXCLUSIVE),
        (subscription.is_rewritten, REWRITTEN),
    ] {
        flags |= if is_set { flag } else { 0 };
    }
    let mut row = vec![VERSION, flags];
    row.extend_from_slice(&grant.id.to_le_bytes());
    if let Some(since) = &subscription.since {
        put_varint(since.iter().count() as u64, &mut row);
        encode_positions(since, &mut row);
    }
    row.into()
}

/// From bytes.
///
/// # Errors
/// When the row is damaged.
pub fn decode(row: &[u8]) -> Result<Subscription, RowError> {
    let mut fields = Fields::of(row, VERSION)?;
    let flags = fields.u8()?;
    let id = fields.u32()?;
    let grant = Grant {
        qos: Qos::from_bits(flags & 0b11).ok_or(RowError)?,
        no_local: flags & NO_LOCAL != 0,
        retain_as_published: flags & RETAIN_AS_PUBLISHED != 0,
        id,
    };
    let since = match flags & HAS_BEGINNING != 0 {
        true => {
            let count = u32::try_from(fields.varint()?).map_err(|_| RowError)?;
            Some(decode_positions(&mut fields, count)?)
        }
        false => None,
    };
    fields.end()?;
    let (is_replay, is_exclusive) = (flags & IS_REPLAY != 0, flags & EXCLUSIVE != 0);
    let is_rewritten = flags & REWRITTEN != 0;
    Ok(Subscription { grant, since, is_replay, is_rewritten, is_exclusive })
}

#[cfg(test)]
mod tests {
    use super::{decode, encode, filter, key};
    use tidewire_proto::id::PartitionId;
    use tidewire_proto::qos::Qos;
    use tidewire_proto::routing::grant::Grant;
    use tidewire_proto::session::cursor::Positions;
    use tidewire_proto::session::subscription::Subscription;

    #[test]
    fn a_row_reads_back_as_it_was_written() {
        let mut positions = Positions::default();
        positions.advance(PartitionId(1), 77);
        for since in [None, Some(positions)] {
            let grant =
                Grant { qos: Qos::ExactlyOnce, no_local: true, retain_as_published: false, id: 9 };
            let is_replay = since.is_some();
            let (is_rewritten, is_exclusive) = (is_replay, !is_replay);
            let subscription = Subscription { grant, since, is_replay, is_rewritten, is_exclusive };
            assert_eq!(decode(&encode(&subscription)), Ok(subscription));
        }
        assert_eq!(filter("c", &key("c", "a/+")), Ok("a/+"));
        assert!(filter("other", &key("c", "a/+")).is_err());
    }
}
