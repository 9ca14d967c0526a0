//! What retention says that readers will lose, and when. Decides nothing.

use std::collections::HashMap;

use parking_lot::Mutex;
use tidewire_proto::id::PartitionId;
use tidewire_store::RetentionReport;

/// When readers begin to lose what they have not read.
#[derive(Debug, Default)]
pub struct Forecasts(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    /// Of each reader that retention knows by name, in milliseconds since 1970.
    readers: HashMap<String, i64>,
    /// What goes of each partition: before which offset, and when, soonest first.
    losses: HashMap<PartitionId, Vec<(u64, i64)>>,
}

impl Forecasts {
    /// What retention said last, at this time, in milliseconds since 1970.
    pub fn set(&self, reports: &[RetentionReport], now_ms: i64) {
        let mut known = Known::default();
        for forecast in reports.iter().filter_map(|report| report.forecast.as_ref()) {
            let at_ms = now_ms.saturating_add_unsigned(forecast.in_ms);
            for reader in &forecast.readers {
                let due = known.readers.entry(reader.clone()).or_insert(at_ms);
                *due = at_ms.min(*due);
            }
            for loss in &forecast.losses {
                let at_ms = now_ms.saturating_add_unsigned(loss.in_ms);
                known.losses.entry(loss.partition).or_default().push((loss.before, at_ms));
            }
        }
        *self.0.lock() = known;
    }

    /// In how many seconds this reader begins to lose something.
    #[must_use]
    pub fn of_reader(&self, name: &str, now_ms: i64) -> Option<u64> {
        let at_ms = self.0.lock().readers.get(name).copied()?;
        Some(seconds(at_ms, now_ms))
    }

    /// In how many seconds whoever has these records to read next loses the first of them.
    #[must_use]
    pub fn of_places(&self, unread: &[(PartitionId, u64)], now_ms: i64) -> Option<u64> {
        let known = self.0.lock();
        let due = |(id, offset): &(PartitionId, u64)| {
            let mut losses = known.losses.get(id)?.iter();
            losses.find(|(before, _)| before > offset).map(|(_, at_ms)| *at_ms)
        };
        let soonest = unread.iter().filter_map(due).min()?;
        Some(seconds(soonest, now_ms))
    }
}

fn seconds(at_ms: i64, now_ms: i64) -> u64 {
    u64::try_from(at_ms.saturating_sub(now_ms)).unwrap_or(0) / 1000
}

#[cfg(test)]
mod tests {
    use tidewire_proto::id::PartitionId;
    use tidewire_store::{Forecast, Loss, RetentionReport};

    use super::Forecasts;

    fn report(stream: &str, readers: Vec<String>, losses: &[(u32, u64, u64)]) -> RetentionReport {
        let loss = |(partition, before, in_ms): &(u32, u64, u64)| Loss {
            partition: PartitionId(*partition),
            before: *before,
            in_ms: *in_ms,
        };
        let losses: Vec<Loss> = losses.iter().map(loss).collect();
        RetentionReport {
            stream: stream.into(),
            bytes: 0,
            held_bytes: 0,
            refuses: false,
            deleted: Vec::new(),
            forecast: Some(Forecast { readers, in_ms: losses[0].in_ms, losses }),
        }
    }

    #[test]
    fn the_nearest_loss_of_a_reader_counts() {
        let edge = || vec!["edge".to_owned()];
        let forecasts = Forecasts::default();
        let reports =
            [report("a", edge(), &[(0, 9, 90_000)]), report("b", edge(), &[(1, 9, 30_000)])];
        forecasts.set(&reports, 1_000);
        assert_eq!(forecasts.of_reader("edge", 11_000), Some(20));
        let others = (forecasts.of_reader("edge", 99_000), forecasts.of_reader("other", 0));
        assert_eq!(others, (Some(0), None));
        forecasts.set(&[], 2_000);
        assert_eq!(forecasts.of_reader("edge", 2_000), None);
    }

    #[test]
    fn whoever_has_read_more_loses_later_or_never() {
        let forecasts = Forecasts::default();
        let losses = [(0, 10, 1_000), (1, 5, 2_000), (0, 20, 8_000)];
        forecasts.set(&[report("a", Vec::new(), &losses)], 0);
        let of = |unread: &[(u32, u64)]| {
            let unread: Vec<_> = unread.iter().map(|(id, at)| (PartitionId(*id), *at)).collect();
            forecasts.of_places(&unread, 0)
        };
        assert_eq!([of(&[(0, 9)]), of(&[(0, 10)]), of(&[(0, 20)])], [Some(1), Some(8), None]);
        assert_eq!(of(&[(0, 10), (1, 4)]), Some(2), "the soonest of all its partitions");
        assert_eq!([of(&[]), of(&[(7, 0)])], [None, None]);
    }
}
