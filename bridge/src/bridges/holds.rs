//! What bridges have not read, for retention. Decides nothing.

use tidewire_proto::id::PartitionId;
use tidewire_store::rows::RowError;
use tidewire_store::rows::bridge::{self, BridgeRow, Mode};
use tidewire_store::{ReadError, Store, Table};

/// A reader, under the name by which retention knows it, and what it has not read.
pub type Held = (String, Vec<(PartitionId, u64)>);

/// What each of these bridges has not read: nothing, if it was told to stop, or has not begun.
///
/// # Errors
/// When a row cannot be read: then nothing may be taken for read.
pub fn held<'a>(
    store: &Store,
    bridges: impl IntoIterator<Item = &'a str>,
) -> Result<Vec<Held>, ReadError> {
    let of = |name: &'a str| {
        let row = row(store, name)?.filter(|row| row.mode != Mode::Stopped);
        Ok((hold_name(name), row.map(|row| row.positions).unwrap_or_default()))
    };
    bridges.into_iter().map(of).collect()
}

/// The row of a bridge, if it has one.
pub(crate) fn row(store: &Store, name: &str) -> Result<Option<BridgeRow>, ReadError> {
    let Some(row) = store.get(Table::Bridges, &bridge::key(name))? else { return Ok(None) };
    let damaged = |error: RowError| ReadError::Io(format!("bridge {name}: {error}"));
    BridgeRow::decode(&row).map(Some).map_err(damaged)
}

/// Under which retention knows a bridge.
#[must_use]
pub fn hold_name(bridge: &str) -> String {
    format!("bridge {bridge}")
}
