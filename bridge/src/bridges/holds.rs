//! What bridges have not read, for retention, and what retention says that they will lose. Decides
//! nothing.

use std::collections::HashMap;

use parking_lot::Mutex;
use tidewire_proto::id::PartitionId;
use tidewire_store::rows::RowError;
use tidewire_store::rows::bridge::{self, BridgeRow, Mode};
use tidewire_store::{ReadError, RetentionReport, Store, Table};

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

fn hold_name(bridge: &str) -> String {
    format!("bridge {bridge}")
}

/// When readers begin to lose what they have not read.
#[derive(Debug, Default)]
pub struct Forecasts(Mutex<HashMap<String, i64>>);

impl Forecasts {
    /// What retention said last, at this time, in milliseconds since 1970.
    pub fn set(&self, reports: &[RetentionReport], now_ms: i64) {
        let mut due: HashMap<String, i64> = HashMap::new();
        for forecast in reports.iter().filter_map(|report| report.forecast.as_ref()) {
            let at_ms = now_ms.saturating_add_unsigned(forecast.in_ms);
            for reader in &forecast.readers {
                let known = due.entry(reader.clone()).or_insert(at_ms);
                *known = at_ms.min(*known);
            }
        }
        *self.0.lock() = due;
    }

    /// In how many seconds this bridge begins to lose something.
    pub(crate) fn of(&self, bridge: &str, now_ms: i64) -> Option<u64> {
        let at_ms = self.0.lock().get(&hold_name(bridge)).copied()?;
        Some(u64::try_from(at_ms.saturating_sub(now_ms)).unwrap_or(0) / 1000)
    }
}

#[cfg(test)]
mod tests {
    use tidewire_store::{Forecast, RetentionReport};

    use super::{Forecasts, hold_name};

    #[test]
    fn the_nearest_loss_counts() {
        let report = |stream: &str, in_ms| RetentionReport {
            stream: stream.into(),
            bytes: 0,
            held_bytes: 0,
            refuses: false,
            deleted: Vec::new(),
            forecast: Some(Forecast { readers: vec![hold_name("edge")], in_ms }),
        };
        let forecasts = Forecasts::default();
        forecasts.set(&[report("a", 90_000), report("b", 30_000)], 1_000);
        assert_eq!(forecasts.of("edge", 11_000), Some(20));
        assert_eq!((forecasts.of("edge", 99_000), forecasts.of("other", 0)), (Some(0), None));
        forecasts.set(&[], 2_000);
        assert_eq!(forecasts.of("edge", 2_000), None);
    }
}
