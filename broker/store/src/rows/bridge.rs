//! How far a bridge is, whether it is to run, and what its kind keeps beside that.

use tidewire_proto::id::{PacketId, PartitionId};

use crate::rows::field::{Fields, RowError, put_varint};
use crate::rows::{bounds_of, key_in, rest_of};

const VERSION: u8 = 1;
const RECEIPT: u8 = b'r';

/// What a bridge was told to do last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// To run.
    #[default]
    Running,
    /// To rest; what it has not read is held.
    Paused,
    /// To rest; nothing is held for it.
    Stopped,
}

/// The row of `Table::Bridges` under [`key`].
///
/// `version u8 | mode u8 | count | partition, offset … | what its kind keeps`, numbers as varints.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BridgeRow {
    /// What it was told to do last.
    pub mode: Mode,
    /// In each partition that it reads, the lowest offset that it may still ask for: what lies
    /// before is done with.
    pub positions: Vec<(PartitionId, u64)>,
    /// Bytes that only its kind understands.
    pub extra: Box<[u8]>,
}

/// The key of a bridge's row.
#[must_use]
pub fn key(bridge: &str) -> Box<[u8]> {
    key_in(bridge, &[]).into()
}

/// The name of a bridge, if this is the key of its row.
#[must_use]
pub fn name(key: &[u8]) -> Option<&str> {
    let name = key.strip_suffix(&[0])?;
    std::str::from_utf8(name).ok().filter(|name| !name.contains('\0'))
}

/// The key of a QoS 2 message that a link has taken and the other side has not released. The
/// value of such a row is [`super::receipt::ROW`].
#[must_use]
pub fn receipt_key(bridge: &str, id: PacketId) -> Box<[u8]> {
    let [high, low] = id.get().to_be_bytes();
    key_in(bridge, &[RECEIPT, high, low]).into()
}

/// The packet id from such a key.
#[must_use]
pub fn receipt_id(bridge: &str, key: &[u8]) -> Option<PacketId> {
    match rest_of(bridge, key)? {
        [RECEIPT, high, low] => PacketId::new(u16::from_be_bytes([*high, *low])),
        _ => None,
    }
}

/// The bounds between which all rows of a bridge lie.
#[must_use]
pub fn bounds(bridge: &str) -> (Vec<u8>, Vec<u8>) {
    bounds_of(bridge)
}

impl BridgeRow {
    /// As bytes.
    #[must_use]
    pub fn encode(&self) -> Box<[u8]> {
        let mode = match self.mode {
            Mode::Running => 0,
            Mode::Paused => 1,
            Mode::Stopped => 2,
        };
        let mut row = vec![VERSION, mode];
        put_varint(self.positions.len() as u64, &mut row);
        for (partition, offset) in &self.positions {
            put_varint(u64::from(partition.0), &mut row);
            put_varint(*offset, &mut row);
        }
        row.extend_from_slice(&self.extra);
        row.into()
    }

    /// From bytes.
    ///
    /// # Errors
    /// When the row is damaged.
    pub fn decode(row: &[u8]) -> Result<Self, RowError> {
        let mut fields = Fields::of(row, VERSION)?;
        let mode = match fields.u8()? {
            0 => Mode::Running,
            1 => Mode::Paused,
            2 => Mode::Stopped,
            _ => return Err(RowError),
        };
        let mut positions = Vec::new();
        for _ in 0..fields.varint()? {
            let partition = u32::try_from(fields.varint()?).map_err(|_| RowError)?;
            positions.push((PartitionId(partition), fields.varint()?));
        }
        Ok(Self { mode, positions, extra: fields.rest().into() })
    }
}

#[cfg(test)]
mod tests {
    use tidewire_proto::id::{PacketId, PartitionId};

    use super::{BridgeRow, Mode, key, name, receipt_id, receipt_key};

    #[test]
    fn a_row_reads_back_as_it_was_written_and_a_cut_never_invents_a_position() {
        let positions = vec![(PartitionId(3), 1 << 40), (PartitionId(70_000), 0)];
        for mode in [Mode::Running, Mode::Paused, Mode::Stopped] {
            let row = BridgeRow {
                mode,
                positions: positions.clone(),
                extra: b"its own".as_slice().into(),
            };
            let bytes = row.encode();
            assert_eq!(BridgeRow::decode(&bytes), Ok(row.clone()));
            for cut in 0..bytes.len() {
                if let Ok(shorter) = BridgeRow::decode(&bytes[..cut]) {
                    assert_eq!(shorter.positions, row.positions, "cut at {cut}");
                }
            }
        }
        assert!(BridgeRow::decode(&[1, 9, 0]).is_err());
    }

    #[test]
    fn the_keys_of_a_bridge_are_its_own() {
        let id = PacketId::new(258).expect("not zero");
        assert_eq!(name(&key("edge")), Some("edge"));
        assert_eq!(name(&receipt_key("edge", id)), None);
        assert_eq!(receipt_id("edge", &receipt_key("edge", id)), Some(id));
        assert_eq!(receipt_id("edge", &key("edge")), None);
        assert_eq!(receipt_id("ed", &receipt_key("edge", id)), None);
    }
}
