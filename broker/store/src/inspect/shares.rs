//! Where share groups stand, as their rows say. Never judges it.

use std::ops::{Bound, ControlFlow};

use super::age::time_of;
use super::view::View;
use crate::error::OpenError;
use crate::rows::share::{GroupRow, Key};
use crate::table::Table;

/// One share group, as of its last commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShareStats {
    /// Its whole filter.
    pub filter: String,
    /// Members whose sessions outlive their connections.
    pub members: u64,
    /// Records behind its position that it has not looked at, its own and others.
    pub behind: u64,
    /// When the first record came that it has not done with, in milliseconds since 1970.
    pub unread_since_ms: Option<i64>,
    /// Messages that members have and did not finish.
    pub handed: u64,
    /// Messages that came back and wait to be handed out again.
    pub waiting: u64,
    /// How often the message that was handed out most often was.
    pub attempts_max: u32,
}

pub(super) fn count_shares(view: &View) -> Result<Vec<ShareStats>, OpenError> {
    let mut counted: Vec<(u32, ShareStats)> = Vec::new();
    let all = (Bound::Unbounded, Bound::Unbounded);
    // Groups lie before their members.
    let scanned = view.engine.tables.scan(Table::Shares, all, &mut |key, value| {
        match (Key::decode(key), GroupRow::decode(value)) {
            (Ok(Key::Group(id)), Ok(row)) => counted.push((id.0, stand(view, &row))),
            (Ok(Key::Member(id, _)), _) => {
                let of_it = counted.iter_mut().find(|(known, _)| *known == id.0);
                of_it.into_iter().for_each(|(_, stats)| stats.members += 1);
            }
            // What cannot be read is not counted; verify is there to name it.
            _ => (),
        }
        ControlFlow::Continue(())
    });
    scanned.map_err(|error| OpenError::Io(error.to_string()))?;
    Ok(counted.into_iter().map(|(_, stats)| stats).collect())
}

fn stand(view: &View, row: &GroupRow) -> ShareStats {
    let partitions = view.engine.catalog.partitions();
    let behind = partitions.iter().map(|partition| {
        let (from, to) = partition.bounds();
        to.saturating_sub(row.positions.get(partition.id).max(from))
    });
    let since = partitions.iter().filter_map(|partition| {
        let (from, to) = partition.bounds();
        let own = row.unfinished.iter().map(|one| one.place);
        let own = own.filter(|place| place.partition == partition.id && place.offset >= from);
        let next = row.positions.get(partition.id).max(from);
        let first = own.map(|place| place.offset).chain([next]).min()?;
        if first < to { time_of(view, partition.id, first) } else { None }
    });
    let handed = row.unfinished.iter().filter(|one| one.client_id.is_some()).count();
    ShareStats {
        filter: row.filter.clone(),
        members: 0,
        behind: behind.sum(),
        unread_since_ms: since.min(),
        handed: handed as u64,
        waiting: (row.unfinished.len() - handed) as u64,
        attempts_max: row.unfinished.iter().map(|one| one.attempts).max().unwrap_or(0),
    }
}
