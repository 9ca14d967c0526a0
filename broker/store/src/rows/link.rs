//! What a link keeps in its row: what it subscribed to there, and what is in flight to there.

use tidewire_proto::qos::Qos;
use tidewire_proto::session::cursor::Positions;
use tidewire_proto::session::window::Window;

use crate::rows::cursor::{self, CursorRow};
use crate::rows::field::{Fields, RowError, put_text, put_varint};

const VERSION: u8 = 1;

/// The bytes of a link in its [`BridgeRow`](super::bridge::BridgeRow).
///
/// `version u8 | count | filter, QoS u8 … | a row of the table cursors`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LinkRow {
    /// What the other side has confirmed: filters and the QoS that was asked for.
    pub subscribed: Vec<(String, Qos)>,
    /// How far the log was read, and what is in flight.
    pub cursor: CursorRow,
}

/// The row of a link that stands here.
#[must_use]
pub fn encode(subscribed: &[(String, Qos)], window: &Window, positions: &Positions) -> Box<[u8]> {
    let mut row = vec![VERSION];
    put_varint(subscribed.len() as u64, &mut row);
    for (filter, qos) in subscribed {
        put_text(filter, &mut row);
        row.push(qos.bits());
    }
    row.extend_from_slice(&cursor::encode(window, positions));
    row.into()
}

/// From bytes.
///
/// # Errors
/// When they are damaged.
pub fn decode(row: &[u8]) -> Result<LinkRow, RowError> {
    let mut fields = Fields::of(row, VERSION)?;
    let mut subscribed = Vec::new();
    for _ in 0..fields.varint()? {
        let filter = fields.text()?.to_owned();
        subscribed.push((filter, Qos::from_bits(fields.u8()?).ok_or(RowError)?));
    }
    Ok(LinkRow { subscribed, cursor: cursor::decode(fields.rest())? })
}

#[cfg(test)]
mod tests {
    use tidewire_proto::id::PartitionId;
    use tidewire_proto::qos::Qos;
    use tidewire_proto::session::cursor::Positions;
    use tidewire_proto::session::window::{Exchange, Place, Step, Window};

    use super::{decode, encode};

    #[test]
    fn a_row_reads_back_as_it_was_written() {
        let mut window = Window::new(10);
        let place = Place { partition: PartitionId(2), offset: 7 };
        let (qos, step) = (Qos::ExactlyOnce, Step::Published);
        window.begin(Exchange { place, qos, step, retain: true, group: None });
        let mut positions = Positions::default();
        positions.advance(PartitionId(2), 9);
        let subscribed = [("a/#".to_owned(), Qos::AtLeastOnce), ("b".to_owned(), qos)];
        let bytes = encode(&subscribed, &window, &positions);
        let row = decode(&bytes).expect("what was written is read");
        assert_eq!((&row.subscribed[..], &row.cursor.positions), (&subscribed[..], &positions));
        assert_eq!((row.cursor.next_number, row.cursor.exchanges[0].1.place), (1, place));
        assert!(decode(&bytes[..3]).is_err() && decode(&[]).is_err());
    }
}
