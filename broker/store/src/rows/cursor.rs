//! How far a session is: its positions and what is in flight, one row, so that the two always
//! agree: nothing that a position has passed is missing from what is in flight unless it is over.

use tidewire_proto::id::{GroupId, PartitionId};
use tidewire_proto::qos::Qos;
use tidewire_proto::session::cursor::Positions;
use tidewire_proto::session::window::{Exchange, Place, Step, Window};

use crate::rows::field::{Fields, RowError, put_varint};

/// Version 1 had no groups.
const VERSIONS: [u8; 2] = [1, 2];
const VERSION: u8 = 2;
const RELEASED: u8 = 0b100;
const RETAIN: u8 = 0b1000;
const SHARED: u8 = 0b1_0000;

/// One row of `Table::Cursors`; key: the client id.
///
/// `version u8 | next number | count | positions … | exchanges …`, numbers as varints; an
/// exchange is `flags u8 | number | partition | offset`, number and offset as differences to the
/// exchange before it, and behind it its share group, if it has one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CursorRow {
    /// The number of its next exchange.
    pub next_number: u64,
    /// The next offset per partition.
    pub positions: Positions,
    /// What is in flight, by number.
    pub exchanges: Vec<(u64, Exchange)>,
}

/// The row of a session that stands here.
#[must_use]
pub fn encode(window: &Window, positions: &Positions) -> Box<[u8]> {
    let mut row = vec![VERSION];
    put_varint(window.next_number(), &mut row);
    put_varint(positions.iter().count() as u64, &mut row);
    encode_positions(positions, &mut row);
    let (mut last_number, mut last_offset) = (0, 0);
    for (number, exchange) in window.exchanges() {
        row.push(flags(&exchange));
        put_varint(number - last_number, &mut row);
        put_varint(u64::from(exchange.place.partition.0), &mut row);
        put_varint(zigzag(exchange.place.offset.wrapping_sub(last_offset)), &mut row);
        if let Some(group) = exchange.group {
            put_varint(u64::from(group.0), &mut row);
        }
        (last_number, last_offset) = (number, exchange.place.offset);
    }
    row.into()
}

/// From bytes.
///
/// # Errors
/// When the row is damaged.
pub fn decode(row: &[u8]) -> Result<CursorRow, RowError> {
    let mut fields = Fields::of_any(row, &VERSIONS)?;
    let next_number = fields.varint()?;
    let count = u32::try_from(fields.varint()?).map_err(|_| RowError)?;
    let positions = decode_positions(&mut fields, count)?;
    let mut exchanges = Vec::new();
    let (mut number, mut offset) = (0_u64, 0_u64);
    while !fields.is_empty() {
        let flags = fields.u8()?;
        number = number.checked_add(fields.varint()?).ok_or(RowError)?;
        let partition = PartitionId(u32::try_from(fields.varint()?).map_err(|_| RowError)?);
        offset = offset.wrapping_add(unzigzag(fields.varint()?));
        let qos = Qos::from_bits(flags & 0b11).ok_or(RowError)?;
        let step = if flags & RELEASED != 0 { Step::Released } else { Step::Published };
        let group = match flags & SHARED {
            0 => None,
            _ => Some(GroupId(u32::try_from(fields.varint()?).map_err(|_| RowError)?)),
        };
        let (place, retain) = (Place { partition, offset }, flags & RETAIN != 0);
        exchanges.push((number, Exchange { place, qos, step, retain, group }));
    }
    Ok(CursorRow { next_number, positions, exchanges })
}

fn flags(exchange: &Exchange) -> u8 {
    let released = if exchange.step == Step::Released { RELEASED } else { 0 };
    let retain = if exchange.retain { RETAIN } else { 0 };
    let shared = if exchange.group.is_some() { SHARED } else { 0 };
    exchange.qos.bits() | released | retain | shared
}

/// Small for a small step in either direction.
fn zigzag(step: u64) -> u64 {
    let sign = if step >> 63 == 1 { u64::MAX } else { 0 };
    (step << 1) ^ sign
}

fn unzigzag(coded: u64) -> u64 {
    let sign = if coded & 1 == 1 { u64::MAX } else { 0 };
    (coded >> 1) ^ sign
}

pub(super) fn encode_positions(positions: &Positions, row: &mut Vec<u8>) {
    for (_, next) in positions.iter() {
        put_varint(next, row);
    }
}

pub(super) fn decode_positions(fields: &mut Fields<'_>, count: u32) -> Result<Positions, RowError> {
    let mut positions = Positions::default();
    for partition in 0..count {
        positions.advance(PartitionId(partition), fields.varint()?);
    }
    Ok(positions)
}

#[cfg(test)]
mod tests {
    use super::{decode, encode};
    use tidewire_proto::id::{GroupId, PartitionId};
    use tidewire_proto::qos::Qos;
    use tidewire_proto::session::cursor::Positions;
    use tidewire_proto::session::window::{Exchange, Place, Step, Window, packet_id};

    #[test]
    fn a_row_reads_back_as_it_was_written() {
        let mut window = Window::new(10);
        window.skip_to(70_000);
        let mut begun = Vec::new();
        for (qos, partition, offset) in
            [(Qos::AtLeastOnce, 3, 1 << 40), (Qos::ExactlyOnce, 0, 5), (Qos::AtLeastOnce, 0, 6)]
        {
            let place = Place { partition: PartitionId(partition), offset };
            let group = (partition == 3).then_some(GroupId(300));
            let retain = partition == 3;
            let exchange = Exchange { place, qos, step: Step::Published, retain, group };
            window.begin(exchange);
            begun.push((70_000 + begun.len() as u64, exchange));
        }
        window.on_pubrec(packet_id(70_001), false);
        begun[1].1.step = Step::Released;
        let mut positions = Positions::default();
        positions.advance(PartitionId(2), 9);
        let row = decode(&encode(&window, &positions)).expect("what was written is read");
        assert_eq!((row.next_number, &row.positions), (70_003, &positions));
        assert_eq!(row.exchanges, begun);
    }

    #[test]
    fn a_row_cut_anywhere_is_refused_or_shorter_and_never_invents() {
        let mut window = Window::new(10);
        let place = Place { partition: PartitionId(0), offset: 300 };
        let qos = Qos::ExactlyOnce;
        window.begin(Exchange { place, qos, step: Step::Published, retain: false, group: None });
        let row = encode(&window, &Positions::default());
        for cut in 0..row.len() {
            let exchanges = decode(&row[..cut]).map_or(0, |row| row.exchanges.len());
            assert_eq!(exchanges, 0, "cut at {cut}");
        }
    }
}
