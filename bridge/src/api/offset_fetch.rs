//! OffsetFetch: what groups committed, as far as it is durable. So it is stable, whether or not
//! the client asks for that.

use std::collections::BTreeMap;
use std::sync::Arc;

use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestGroup;
use kafka_protocol::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions,
    OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};
use kafka_protocol::messages::{GroupId, OffsetFetchRequest, OffsetFetchResponse, TopicName};
use kafka_protocol::protocol::StrBytes;

use crate::context::{Call, Context};
use crate::groups::Committed;
use crate::text::{shared, spoken};

/// "Nothing was committed."
const NO_OFFSET: i64 = -1;
/// "No epoch is known."
const NO_EPOCH: i32 = -1;

/// Offsets by topic and partition.
type Found = Vec<(StrBytes, Vec<(i32, Option<Committed>)>)>;
/// Topics and their partitions that are asked for; `None` for all.
type Wanted<'a> = Option<Vec<(&'a TopicName, &'a [i32])>>;

/// What one group committed, or several.
pub(super) fn answer(
    context: &Context,
    call: &Call,
    request: &OffsetFetchRequest,
) -> OffsetFetchResponse {
    if call.version >= 8 {
        let groups = request.groups.iter().map(|group| of_group(context, group)).collect();
        return OffsetFetchResponse::default().with_groups(groups);
    }
    let wanted = request.topics.as_ref().map(|topics| {
        topics.iter().map(|it| (&it.name, it.partition_indexes.as_slice())).collect()
    });
    let partition = |(index, committed): (i32, Option<Committed>)| {
        let (offset, epoch, metadata) = told(committed);
        let partition = OffsetFetchResponsePartition::default()
            .with_partition_index(index)
            .with_committed_offset(offset)
            .with_metadata(Some(metadata));
        if call.version >= 5 { partition.with_committed_leader_epoch(epoch) } else { partition }
    };
    let topic = |(name, partitions): (StrBytes, Vec<_>)| {
        OffsetFetchResponseTopic::default()
            .with_name(TopicName(name))
            .with_partitions(partitions.into_iter().map(partition).collect())
    };
    let found = find(context, &request.group_id, wanted);
    OffsetFetchResponse::default().with_topics(found.into_iter().map(topic).collect())
}

fn of_group(context: &Context, group: &OffsetFetchRequestGroup) -> OffsetFetchResponseGroup {
    let wanted = group.topics.as_ref().map(|topics| {
        topics.iter().map(|it| (&it.name, it.partition_indexes.as_slice())).collect()
    });
    let partition = |(index, committed): (i32, Option<Committed>)| {
        let (offset, epoch, metadata) = told(committed);
        OffsetFetchResponsePartitions::default()
            .with_partition_index(index)
            .with_committed_offset(offset)
            .with_committed_leader_epoch(epoch)
            .with_metadata(Some(metadata))
    };
    let topic = |(name, partitions): (StrBytes, Vec<_>)| {
        OffsetFetchResponseTopics::default()
            .with_name(TopicName(name))
            .with_partitions(partitions.into_iter().map(partition).collect())
    };
    let found = find(context, &group.group_id, wanted);
    OffsetFetchResponseGroup::default()
        .with_group_id(group.group_id.clone())
        .with_topics(found.into_iter().map(topic).collect())
}

fn find(context: &Context, group: &GroupId, wanted: Wanted<'_>) -> Found {
    context.coordinator.look(|groups| {
        if let Some(wanted) = wanted {
            let one = |topic: &Arc<str>, index: i32| {
                let partition = u32::try_from(index).ok()?;
                groups.offset(group, topic, partition).cloned()
            };
            let topic = |(name, indexes): (&TopicName, &[i32])| {
                let topic = shared(name);
                let partitions = indexes.iter().map(|index| (*index, one(&topic, *index)));
                (name.0.clone(), partitions.collect())
            };
            return wanted.into_iter().map(topic).collect();
        }
        let mut all: BTreeMap<Arc<str>, Vec<(i32, Option<Committed>)>> = BTreeMap::new();
        for (spot, committed) in groups.offsets(group) {
            let index = i32::try_from(spot.partition).unwrap_or(i32::MAX);
            all.entry(Arc::clone(&spot.topic)).or_default().push((index, Some(committed.clone())));
        }
        all.into_iter().map(|(topic, partitions)| (spoken(&topic), partitions)).collect()
    })
}

fn told(committed: Option<Committed>) -> (i64, i32, StrBytes) {
    match committed {
        Some(it) => {
            let offset = i64::try_from(it.offset).unwrap_or(i64::MAX);
            (offset, it.leader_epoch, spoken(&it.metadata))
        }
        None => (NO_OFFSET, NO_EPOCH, StrBytes::default()),
    }
}
