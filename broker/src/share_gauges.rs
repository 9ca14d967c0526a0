//! How far share groups are behind, as gauges, under the names of those of consumer groups. Reads
//! no row.

use std::collections::HashMap;
use std::mem;
use std::ops::ControlFlow;
use std::sync::Arc;

use metrics::{Gauge, describe_gauge, gauge};
use tidewire_bridge::group_series as series;
use tidewire_store::ReadError;

use crate::share_lag::ShareGroupLag;

/// A group's filter and a stream, as labels.
type Pair = (Arc<str>, Arc<str>);

/// Shows a group; breaks when there is no room for it.
type Show<'a> = dyn FnMut(&ShareGroupLag) -> ControlFlow<()> + 'a;

/// The gauges of what is there.
pub(crate) struct ShareGauges {
    streams: HashMap<Pair, (Gauge, Gauge)>,
    groups: HashMap<Arc<str>, Gauge>,
    left_out: Gauge,
}

/// Those of the last time, until they are shown again.
struct Before {
    streams: HashMap<Pair, (Gauge, Gauge)>,
    groups: HashMap<Arc<str>, Gauge>,
}

impl ShareGauges {
    /// Says what the series mean.
    pub(crate) fn new() -> Self {
        describe_gauge!(series::LAG, "Records behind what a group has done with, by stream.");
        describe_gauge!(series::SECONDS, "How long ago the first of those records came.");
        describe_gauge!(series::LOSES_IN, "Seconds until a group loses unread records; -1: never.");
        describe_gauge!(series::LEFT_OUT, series::LEFT_OUT_HELP);
        Self {
            streams: HashMap::new(),
            groups: HashMap::new(),
            left_out: gauge!(series::LEFT_OUT, "groups" => "share"),
        }
    }

    /// How it is now: `groups` has each group shown as long as there is room, and says how many are
    /// left then. What is not there any more gives its place to others.
    pub(crate) fn show(
        &mut self,
        groups: impl FnOnce(&mut Show<'_>) -> Result<u64, ReadError>,
    ) -> Result<(), ReadError> {
        let mut before =
            Before { streams: mem::take(&mut self.streams), groups: mem::take(&mut self.groups) };
        let left = groups(&mut |group| self.show_one(group, &mut before));
        before.clear();
        self.left_out.set(left? as f64);
        Ok(())
    }

    fn show_one(&mut self, group: &ShareGroupLag, before: &mut Before) -> ControlFlow<()> {
        let is_full = |count| count > series::SERIES_MAX;
        if is_full(self.groups.len() + 1) || is_full(self.streams.len() + group.streams.len()) {
            return ControlFlow::Break(());
        }
        let filter: Arc<str> = series::label(&group.filter).into();
        for (stream, lag) in &group.streams {
            let pair: Pair = (Arc::clone(&filter), stream.as_str().into());
            let made = || {
                let (group, stream) = pair.clone();
                let gauge =
                    |name| gauge!(name, "group" => group.clone(), "stream" => stream.clone());
                (gauge(series::LAG), gauge(series::SECONDS))
            };
            let gauges = before.streams.remove(&pair).unwrap_or_else(made);
            gauges.0.set(lag.messages as f64);
            gauges.1.set(lag.seconds as f64);
            self.streams.insert(pair, gauges);
        }
        let made = || gauge!(series::LOSES_IN, "group" => Arc::clone(&filter));
        let loses_in = before.groups.remove(&filter).unwrap_or_else(made);
        loses_in.set(group.lag.loses_in_s.map_or(-1.0, |seconds| seconds as f64));
        self.groups.insert(filter, loses_in);
        ControlFlow::Continue(())
    }
}

impl Before {
    /// Whoever records them may not forget them.
    fn clear(self) {
        for (records, seconds) in self.streams.into_values() {
            records.set(0.0);
            seconds.set(0.0);
        }
        self.groups.into_values().for_each(|loses_in| loses_in.set(-1.0));
    }
}

#[cfg(test)]
mod tests {
    use metrics::with_local_recorder;
    use tidewire_bridge::Lag;
    use tidewire_bridge::group_series::{FLEETING, SERIES_MAX};

    use super::{ShareGauges, ShareGroupLag, Show};
    use crate::metrics::exposition::Exposition;

    fn group(filter: String) -> ShareGroupLag {
        let lag = Lag { messages: 1, ..Lag::default() };
        let streams = vec![("mqtt".into(), lag)];
        let members = Vec::new();
        ShareGroupLag { filter, lag, streams, handed: 0, waiting: 0, attempts_max: 0, members }
    }

    /// The metrics when these groups are there.
    fn shown(gauges: &mut ShareGauges, exposition: &Exposition, filters: &[String]) -> String {
        let groups = |show: &mut Show<'_>| {
            let shown =
                filters.iter().take_while(|filter| show(&group((*filter).clone())).is_continue());
            Ok((filters.len() - shown.count()) as u64)
        };
        with_local_recorder(exposition, || gauges.show(groups)).expect("readable");
        exposition.render()
    }

    #[test]
    fn what_a_client_calls_its_groups_takes_a_bounded_part_of_the_metrics() {
        let exposition = Exposition::with_fleeting(&FLEETING);
        let mut gauges = with_local_recorder(&exposition, ShareGauges::new);
        let long = |n| format!("$share/g/{n}{}", "/x".repeat(30_000));
        let text = shown(&mut gauges, &exposition, &(0..40).map(long).collect::<Vec<_>>());
        assert_eq!(text.matches("tidewire_group_lag_messages{").count(), 40);
        assert!(text.len() < 40 * 1_200, "{} bytes", text.len());
    }

    #[test]
    fn groups_that_are_gone_are_shown_no_more_and_give_their_places_to_others() {
        let exposition = Exposition::with_fleeting(&FLEETING);
        let mut gauges = with_local_recorder(&exposition, ShareGauges::new);
        let filters = |numbers: std::ops::Range<usize>| {
            numbers.map(|n| format!("$share/{n}/#")).collect::<Vec<_>>()
        };
        let text = shown(&mut gauges, &exposition, &filters(0..SERIES_MAX + 7));
        assert!(text.contains("tidewire_group_series_left_out{groups=\"share\"} 7\n"));
        let text = shown(&mut gauges, &exposition, &filters(SERIES_MAX..SERIES_MAX + 7));
        assert!(text.contains("tidewire_group_series_left_out{groups=\"share\"} 0\n"), "{text}");
        assert_eq!(text.matches("tidewire_group_lag_messages{").count(), 7, "{text}");
        assert!(text.contains(&format!("group=\"$share/{SERIES_MAX}/#\"")), "{text}");
    }
}
