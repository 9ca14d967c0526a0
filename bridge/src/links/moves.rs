//! The row of a link when an order has it read on elsewhere: what is on its way ends under its
//! packet id, only what is read next moves. Pure.

use std::collections::BTreeMap;

use tidewire_proto::id::PartitionId;
use tidewire_proto::qos::Qos;
use tidewire_proto::session::cursor::Positions;
use tidewire_proto::session::window::{Exchange, Step, Window};
use tidewire_store::rows::bridge::BridgeRow;
use tidewire_store::rows::link::{self, LinkRow};

/// A row taken apart.
struct Open {
    subscribed: Vec<(String, Qos)>,
    exchanges: Vec<(u64, Exchange)>,
    next_number: u64,
    /// Where each partition is read next.
    read: BTreeMap<PartitionId, u64>,
}

/// In all of these partitions.
pub(crate) fn moved(row: BridgeRow, positions: Vec<(PartitionId, u64)>) -> BridgeRow {
    match Open::of(&row) {
        None => BridgeRow { positions, ..row },
        Some(mut open) => {
            open.read = positions.into_iter().collect();
            open.close(row)
        }
    }
}

/// In one of them; in the others nothing moves.
pub(crate) fn moved_in(mut row: BridgeRow, (id, offset): (PartitionId, u64)) -> BridgeRow {
    match Open::of(&row) {
        None => {
            row.positions.retain(|(known, _)| *known != id);
            row.positions.push((id, offset));
            row
        }
        Some(mut open) => {
            open.read.insert(id, offset);
            open.close(row)
        }
    }
}

/// Over so many records of one of them, counted from the first that was not taken there: what is on
/// its way of them is given up. `None`: it is not read.
pub(crate) fn skipped(
    row: BridgeRow,
    (id, (from, end)): (PartitionId, (u64, u64)),
    records: u64,
) -> Option<BridgeRow> {
    let known = row.positions.iter().find(|(known, _)| *known == id).map(|(_, offset)| *offset)?;
    let to = |lowest: u64| lowest.saturating_add(records).clamp(from, end);
    let Some(mut open) = Open::of(&row) else { return Some(moved_in(row, (id, to(known)))) };
    let read = open.read.get(&id).copied().unwrap_or(known);
    let waits =
        |exchange: &Exchange| exchange.place.partition == id && exchange.step == Step::Published;
    let waiting = open.exchanges.iter().map(|(_, exchange)| exchange).filter(|it| waits(it));
    let offset = to(waiting.map(|exchange| exchange.place.offset).min().unwrap_or(read));
    let is_skipped = |exchange: &Exchange| waits(exchange) && exchange.place.offset < offset;
    open.exchanges.retain(|(_, it)| !is_skipped(it) || it.qos == Qos::ExactlyOnce);
    for (_, exchange) in open.exchanges.iter_mut().filter(|(_, it)| is_skipped(it)) {
        // It may have come there: the id must not stay taken, or it would swallow a later message.
        exchange.step = Step::Released;
    }
    open.read.insert(id, read.max(offset));
    Some(open.close(row))
}

impl Open {
    /// `None`: nothing was ever on its way.
    fn of(row: &BridgeRow) -> Option<Self> {
        let LinkRow { subscribed, cursor } = link::decode(&row.extra).ok()?;
        // The row's own positions count what is on its way as not read.
        let read =
            |(id, lowest): &(PartitionId, u64)| (*id, cursor.positions.get(*id).max(*lowest));
        let read = row.positions.iter().map(read).collect();
        let (exchanges, next_number) = (cursor.exchanges, cursor.next_number);
        Some(Self { subscribed, exchanges, next_number, read })
    }

    fn close(self, row: BridgeRow) -> BridgeRow {
        let mut window = Window::new(u16::MAX);
        let mut lowest = self.read.clone();
        for (number, exchange) in self.exchanges {
            window.restore(number, exchange);
            let known = lowest.entry(exchange.place.partition).or_insert(exchange.place.offset);
            *known = exchange.place.offset.min(*known);
        }
        window.skip_to(self.next_number);
        let mut read = Positions::default();
        self.read.iter().for_each(|(partition, next)| read.advance(*partition, *next));
        let extra = link::encode(&self.subscribed, &window, &read);
        BridgeRow { positions: lowest.into_iter().collect(), extra, ..row }
    }
}
