//! Reads the groups from the store at a start. Changes nothing there.

use std::ops::{Bound, ControlFlow};

use tidewire_store::rows::group::GroupRow;
use tidewire_store::rows::offset::{OffsetKey, OffsetRow};
use tidewire_store::{ReadError, Store, Table};

use crate::groups::{Groups, Limits, Moment, Spot};

/// All groups and their offsets. A row that cannot be read is named and left where it is.
pub(super) fn read(store: &Store, limits: Limits, now: Moment) -> Result<Groups, ReadError> {
    let mut groups = Groups::new(limits);
    let all = (Bound::Unbounded, Bound::Unbounded);
    store.scan(Table::Groups, all.0, all.1, &mut |key, value| {
        match (std::str::from_utf8(key), GroupRow::decode(value)) {
            (Ok(name), Ok(row)) => groups.restore(name, row, now),
            (name, _) => tracing::error!(?name, "the row of a consumer group is damaged"),
        }
        ControlFlow::Continue(())
    })?;
    store.scan(Table::GroupOffsets, all.0, all.1, &mut |key, value| {
        match (OffsetKey::decode(key), OffsetRow::decode(value)) {
            (Ok(key), Ok(row)) => {
                let spot = Spot { topic: key.topic.into(), partition: key.partition };
                groups.restore_offset(key.group, spot, row, now);
            }
            (key, _) => tracing::error!(?key, "the row of a committed offset is damaged"),
        }
        ControlFlow::Continue(())
    })?;
    Ok(groups)
}
