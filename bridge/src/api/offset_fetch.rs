//! OffsetFetch: what groups committed, as far as it is durable. Who wants it stable is told where a
//! transaction is about to change it.

use std::collections::BTreeMap;
use std::sync::Arc;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestGroup;
use kafka_protocol::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions,
    OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};
use kafka_protocol::messages::{GroupId, OffsetFetchRequest, OffsetFetchResponse, TopicName};
use kafka_protocol::protocol::StrBytes;

use super::asked::{self, GROUP_BYTES};
use crate::context::{Call, Context};
use crate::groups::{Committed, Groups, Refusal, Spot};
use crate::permit::Permit;
use crate::room::{NoRoom, Room};
use crate::text::{shared, spoken};

/// "Nothing was committed."
const NO_OFFSET: i64 = -1;
/// "No epoch is known."
const NO_EPOCH: i32 = -1;
/// What a topic takes in an answer, besides its name, which lies in the request.
const TOPIC_BYTES: usize = 256;
/// A partition, besides its metadata.
const PARTITION_BYTES: usize = 128;

/// Offsets by topic and partition.
type Found = Vec<(StrBytes, Vec<(i32, Option<Committed>)>)>;
/// What is said of them.
type Said = Vec<(StrBytes, Vec<(i32, Result<Option<Committed>, ResponseError>)>)>;
/// Topics and their partitions that are asked for; `None` for all.
type Wanted<'a> = Option<Vec<(&'a TopicName, &'a [i32])>>;

/// What one group committed, or several.
pub(super) fn answer(
    context: &Context,
    call: &Call,
    request: &OffsetFetchRequest,
) -> OffsetFetchResponse {
    let mut room = asked::room();
    if call.version >= 8 {
        let groups = asked::once(&request.groups, |group| &group.group_id);
        let permit = context.permit(call);
        let groups = groups.map(|it| match permit.group(&it.group_id) {
            Ok(()) => of_group((context, &permit), it, request.require_stable, &mut room),
            Err(error) => OffsetFetchResponseGroup::default()
                .with_group_id(it.group_id.clone())
                .with_error_code(error.code()),
        });
        return OffsetFetchResponse::default().with_groups(groups.collect());
    }
    let wanted = request.topics.as_ref().map(|topics| {
        topics.iter().map(|it| (&it.name, it.partition_indexes.as_slice())).collect()
    });
    let partition = |(index, committed)| {
        let Told { offset, epoch, metadata, error } = Told::of(committed);
        let partition = OffsetFetchResponsePartition::default()
            .with_partition_index(index)
            .with_committed_offset(offset)
            .with_metadata(Some(metadata))
            .with_error_code(error);
        if call.version >= 5 { partition.with_committed_leader_epoch(epoch) } else { partition }
    };
    let topic = |(name, partitions): (StrBytes, Vec<_>)| {
        OffsetFetchResponseTopic::default()
            .with_name(TopicName(name))
            .with_partitions(partitions.into_iter().map(partition).collect())
    };
    let answer = OffsetFetchResponse::default();
    let permit = context.permit(call);
    if let Err(error) = permit.group(&request.group_id) {
        return denied(call, answer, (request, error));
    }
    let is_wary = request.require_stable;
    match find((context, &permit), &request.group_id, (wanted, is_wary), &mut room) {
        Ok(found) => answer.with_topics(found.into_iter().map(topic).collect()),
        Err(NoRoom) => answer.with_error_code(Refusal::InvalidRequest.code()),
    }
}

/// Old versions say it of each partition that they name.
fn denied(
    call: &Call,
    answer: OffsetFetchResponse,
    (request, error): (&OffsetFetchRequest, ResponseError),
) -> OffsetFetchResponse {
    if call.version >= 2 {
        return answer.with_error_code(error.code());
    }
    let topics = request.topics.iter().flatten().map(|topic| {
        let partition = |index: &i32| {
            OffsetFetchResponsePartition::default()
                .with_partition_index(*index)
                .with_committed_offset(NO_OFFSET)
                .with_metadata(Some(StrBytes::default()))
                .with_error_code(error.code())
        };
        OffsetFetchResponseTopic::default()
            .with_name(topic.name.clone())
            .with_partitions(topic.partition_indexes.iter().map(partition).collect())
    });
    answer.with_topics(topics.collect())
}

fn of_group(
    by: (&Context, &Permit),
    group: &OffsetFetchRequestGroup,
    is_wary: bool,
    room: &mut Room,
) -> OffsetFetchResponseGroup {
    let wanted = group.topics.as_ref().map(|topics| {
        topics.iter().map(|it| (&it.name, it.partition_indexes.as_slice())).collect()
    });
    let partition = |(index, committed)| {
        let Told { offset, epoch, metadata, error } = Told::of(committed);
        OffsetFetchResponsePartitions::default()
            .with_partition_index(index)
            .with_committed_offset(offset)
            .with_committed_leader_epoch(epoch)
            .with_metadata(Some(metadata))
            .with_error_code(error)
    };
    let topic = |(name, partitions): (StrBytes, Vec<_>)| {
        OffsetFetchResponseTopics::default()
            .with_name(TopicName(name))
            .with_partitions(partitions.into_iter().map(partition).collect())
    };
    let answer = OffsetFetchResponseGroup::default().with_group_id(group.group_id.clone());
    let asked = (wanted, is_wary);
    match room.take(GROUP_BYTES).and_then(|()| find(by, &group.group_id, asked, room)) {
        Ok(found) => answer.with_topics(found.into_iter().map(topic).collect()),
        Err(NoRoom) => answer.with_error_code(Refusal::InvalidRequest.code()),
    }
}

/// What may not be seen is refused to who names it, and left out for who asks for all.
fn find(
    (context, permit): (&Context, &Permit),
    group: &GroupId,
    (wanted, is_wary): (Wanted<'_>, bool),
    room: &mut Room,
) -> Result<Said, NoRoom> {
    let names_all = wanted.is_none();
    let found = context.coordinator.look(|groups| match wanted {
        Some(wanted) => asked_for(groups, group, wanted, room),
        None => all(groups, group, room),
    })?;
    let of_topic = |(name, partitions): (StrBytes, Vec<(i32, Option<Committed>)>)| {
        let topic: Arc<str> = shared(&name);
        let is_seen = permit.sees_named(&name);
        let is_unstable = |index: i32| {
            let partition = u32::try_from(index).unwrap_or(u32::MAX);
            let spot = Spot { topic: Arc::clone(&topic), partition };
            is_wary && context.transact.is_waiting(group, &spot)
        };
        let said = partitions.into_iter().map(|(index, committed)| match is_unstable(index) {
            _ if !is_seen => (index, Err(ResponseError::TopicAuthorizationFailed)),
            // A transaction is about to change it: ask again.
            true => (index, Err(ResponseError::UnstableOffsetCommit)),
            false => (index, Ok(committed)),
        });
        (name, said.collect())
    };
    let is_told = |(name, _): &(StrBytes, _)| !names_all || permit.sees_named(name);
    Ok(found.into_iter().filter(is_told).map(of_topic).collect())
}

/// A partition that is asked for twice is answered once.
fn asked_for(
    groups: &Groups,
    group: &GroupId,
    wanted: Vec<(&TopicName, &[i32])>,
    room: &mut Room,
) -> Result<Found, NoRoom> {
    let mut by_topic: BTreeMap<&TopicName, Vec<i32>> = BTreeMap::new();
    for (name, indexes) in wanted {
        by_topic.entry(name).or_default().extend(indexes);
    }
    let mut found = Vec::new();
    for (name, mut indexes) in by_topic {
        indexes.sort_unstable();
        indexes.dedup();
        room.take(TOPIC_BYTES)?;
        let topic = shared(name);
        let mut partitions = Vec::new();
        for index in indexes {
            let partition = u32::try_from(index).ok();
            let committed = partition.and_then(|it| groups.offset(group, &topic, it));
            room.take(PARTITION_BYTES + committed.map_or(0, |it| it.metadata.len()))?;
            partitions.push((index, committed.cloned()));
        }
        found.push((name.0.clone(), partitions));
    }
    Ok(found)
}

fn all(groups: &Groups, group: &GroupId, room: &mut Room) -> Result<Found, NoRoom> {
    let mut all: BTreeMap<Arc<str>, Vec<(i32, Option<Committed>)>> = BTreeMap::new();
    for (spot, committed) in groups.offsets(group) {
        room.take(PARTITION_BYTES + committed.metadata.len())?;
        let index = i32::try_from(spot.partition).unwrap_or(i32::MAX);
        all.entry(Arc::clone(&spot.topic)).or_default().push((index, Some(committed.clone())));
    }
    Ok(all.into_iter().map(|(topic, partitions)| (spoken(&topic), partitions)).collect())
}

/// What an answer says of a partition.
struct Told {
    offset: i64,
    epoch: i32,
    metadata: StrBytes,
    error: i16,
}

impl Told {
    fn of(committed: Result<Option<Committed>, ResponseError>) -> Self {
        let nothing =
            Self { offset: NO_OFFSET, epoch: NO_EPOCH, metadata: StrBytes::default(), error: 0 };
        match committed {
            Ok(Some(it)) => {
                let offset = i64::try_from(it.offset).unwrap_or(i64::MAX);
                let (epoch, metadata) = (it.leader_epoch, spoken(&it.metadata));
                Self { offset, epoch, metadata, error: 0 }
            }
            Ok(None) => nothing,
            Err(error) => Self { error: error.code(), ..nothing },
        }
    }
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::{GroupId, TopicName};
    use tidewire_store::rows::offset::OffsetRow;

    use super::{Found, PARTITION_BYTES, TOPIC_BYTES, all, asked_for, spoken};
    use crate::groups::{Groups, Limits, Moment, Spot};
    use crate::room::{NoRoom, Room};

    #[test]
    fn what_is_too_much_for_one_answer_is_refused_before_it_is_gathered() {
        let mut groups = Groups::new(Limits::default());
        for partition in 0..10 {
            let row = OffsetRow { metadata: "m".repeat(1000), ..OffsetRow::default() };
            let spot = Spot { topic: "mqtt".into(), partition };
            groups.restore_offset("team", spot, row, Moment::default());
        }
        let (team, topic) = (GroupId(spoken("team")), TopicName(spoken("mqtt")));
        let count = |found: Found| found.into_iter().map(|(_, found)| found.len()).sum::<usize>();
        for (missing, expected) in [(0, Ok(10)), (1, Err(NoRoom))] {
            let room = 10 * (PARTITION_BYTES + 1000) - missing;
            assert_eq!(all(&groups, &team, &mut Room::new(room)).map(count), expected);
            let indexes: Vec<i32> = (0..10).cycle().take(5000).collect();
            let wanted = vec![(&topic, &indexes[..]); 3];
            let mut room = Room::new(room + TOPIC_BYTES);
            assert_eq!(asked_for(&groups, &team, wanted, &mut room).map(count), expected);
        }
    }
}
