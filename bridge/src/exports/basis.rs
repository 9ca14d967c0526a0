//! What a load is built from, besides the records: rules, topics of the target, what was refused.
//! It stays as it is while the export goes on, so the next load is built while one is on its way.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use tidewire_proto::session::window::Place;
use tokio::task::yield_now;
use tokio::time::Instant;

use crate::client::cluster::Topics;
use crate::exports::judge::Why;
use crate::exports::load::{Known, Load, Origin, Sizes};
use crate::exports::options::ExportOptions;
use crate::exports::portion::Portion;

/// Records that are built at once: those who wait for the target have their turn then.
const RECORDS_AT_ONCE: usize = 2_000;

/// Topics that take nothing until then, and why.
pub(crate) type Refused = HashMap<String, (Why, Instant)>;

/// All of it, at one moment.
#[derive(Clone)]
pub(crate) struct Basis {
    pub(crate) options: Arc<ExportOptions>,
    pub(crate) topics: Arc<Topics>,
    pub(crate) refused: Arc<Refused>,
    /// Records that have a dead letter.
    pub(crate) buried: Arc<BTreeSet<Place>>,
}

/// A load that was built before its turn.
pub(crate) struct Made {
    basis: Basis,
    load: Load,
}

impl Basis {
    /// The records as batches of so many records at most. What was refused at that time stays so.
    pub(crate) async fn build(
        &self,
        portion: &Portion,
        (records_max, since): (usize, Instant),
    ) -> Load {
        let options = &*self.options;
        let sizes = Sizes {
            batch_bytes_max: options.batch_bytes_max,
            record_bytes_max: options.message_bytes_max,
            batch_records_max: records_max,
            packing: options.packing,
        };
        let mut load = Load::default();
        let mut at_once = 0;
        for chunk in &portion.chunks {
            let Some(home) = portion.homes.get(&chunk.partition) else { continue };
            let (stream, index, partition) = (&*home.stream, home.index, chunk.partition);
            let origin = Origin { stream, index, partition };
            for (offset, record) in chunk.records() {
                let is_buried =
                    !self.buried.is_empty() && self.buried.contains(&Place { partition, offset });
                if !is_buried {
                    let known = |topic: &str| self.known(topic, since);
                    load.add((&options.rule, sizes), origin, (offset, &record), known);
                }
                at_once += 1;
                if at_once == RECORDS_AT_ONCE {
                    at_once = 0;
                    yield_now().await;
                }
            }
        }
        load.finish();
        load
    }

    /// The same before its turn, if nothing of it is missing.
    pub(crate) async fn make(self, portion: &Portion) -> Option<Made> {
        let load = self.build(portion, (usize::MAX, Instant::now())).await;
        load.is_whole().then_some(Made { basis: self, load })
    }

    fn known(&self, topic: &str, since: Instant) -> Known {
        match (self.refused.get(topic), self.topics.get(topic)) {
            (Some((why, until)), _) if *until > since => Known::Refused(why.clone()),
            (_, Some(leaders)) => {
                Known::Partitions(u32::try_from(leaders.len()).unwrap_or(u32::MAX))
            }
            (_, None) => Known::No,
        }
    }
}

impl Made {
    /// The load, if it would be built the same way now.
    pub(crate) fn still(self, now: &Basis) -> Option<Load> {
        // Dead letters that came since are for records before it.
        let Self { basis, load } = self;
        let is_same =
            Arc::ptr_eq(&basis.topics, &now.topics) && Arc::ptr_eq(&basis.refused, &now.refused);
        is_same.then_some(load)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use tidewire_proto::id::PartitionId;
    use tidewire_proto::session::window::Place;
    use tokio::time::Instant;

    use super::{Basis, Made};
    use crate::exports::judge::Why;
    use crate::exports::load::Load;
    use crate::exports::tests::options_towards;

    fn basis() -> Basis {
        let (topics, refused, buried) = Default::default();
        Basis { options: options_towards(1), topics, refused, buried }
    }

    fn is_good(then: &Basis, now: &Basis) -> bool {
        Made { basis: then.clone(), load: Load::default() }.still(now).is_some()
    }

    #[test]
    fn what_was_built_before_its_turn_is_built_anew_when_the_target_has_changed() {
        let then = basis();
        assert!(is_good(&then, &then));
        let mut now = then.clone();
        Arc::make_mut(&mut now.topics).insert("new".into(), vec![1]);
        assert!(!is_good(&then, &now), "a topic has other partitions");
        let mut now = then.clone();
        let refused = (Why::new("no"), Instant::now() + Duration::from_secs(1));
        Arc::make_mut(&mut now.refused).insert("shut".into(), refused);
        assert!(!is_good(&then, &now), "a topic takes nothing");
        let mut now = then.clone();
        let place = Place { partition: PartitionId(0), offset: 7 };
        Arc::make_mut(&mut now.buried).insert(place);
        assert!(is_good(&then, &now), "what has a dead letter lies before it");
    }
}
