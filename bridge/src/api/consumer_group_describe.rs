//! ConsumerGroupDescribe: groups whose members are told what to read, and who reads what.

use std::collections::{BTreeMap, BTreeSet};

use kafka_protocol::messages::consumer_group_describe_response::{
    Assignment, DescribedGroup, Member, TopicPartitions,
};
use kafka_protocol::messages::{
    ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse, GroupId, TopicName,
};
use kafka_protocol::protocol::StrBytes;

use super::asked::{self, GROUP_BYTES, MEMBER_BYTES, TOO_MUCH};
use crate::context::{Call, Context};
use crate::groups::{DescribedReader, Refusal, Spot};
use crate::names::{Topics, UNKNOWN_OPERATIONS};
use crate::room::NoRoom;
use crate::text::spoken;

/// A member of the newer kind.
const CONSUMER: i8 = 1;

/// Each group that is asked for; those of the older kind are for DescribeGroups.
pub(super) fn answer(
    context: &Context,
    call: &Call,
    request: &ConsumerGroupDescribeRequest,
) -> ConsumerGroupDescribeResponse {
    let topics = context.topics();
    let mut room = asked::room();
    let permit = context.permit(call);
    let describe = |name: &GroupId| {
        if let Err(error) = permit.group(name) {
            return refused(name, error.code(), "the group may not be looked at");
        }
        let Some((epoch, readers)) = context.coordinator.look(|groups| groups.readers(name)) else {
            let why = Refusal::UnknownGroup;
            return refused(name, why.code(), &why.to_string());
        };
        let bytes = readers.iter().map(bytes_of).sum::<usize>();
        match room.take(GROUP_BYTES + bytes) {
            Ok(()) => group(call, &topics, name, (epoch, &readers)),
            Err(NoRoom) => refused(name, Refusal::InvalidRequest.code(), TOO_MUCH),
        }
    };
    let names = asked::once(&request.group_ids, |name| name);
    ConsumerGroupDescribeResponse::default().with_groups(names.map(describe).collect())
}

fn bytes_of(reader: &DescribedReader) -> usize {
    let names = reader.id.len() + reader.client_id.len() + reader.host.len();
    // In the two assignments a topic is named again.
    let topics: usize = reader.topics.iter().map(|topic| 3 * topic.len() + MEMBER_BYTES).sum();
    MEMBER_BYTES + names + topics + size_of::<i32>() * (reader.told.len() + reader.target.len())
}

fn refused(name: &GroupId, code: i16, message: &str) -> DescribedGroup {
    DescribedGroup::default()
        .with_group_id(name.clone())
        .with_authorized_operations(UNKNOWN_OPERATIONS)
        .with_error_code(code)
        .with_error_message(Some(StrBytes::from_string(message.to_owned())))
}

fn group(
    call: &Call,
    topics: &Topics,
    name: &GroupId,
    (epoch, readers): (i32, &[DescribedReader]),
) -> DescribedGroup {
    let is_settled = readers.iter().all(|reader| reader.told == reader.target);
    let state = if is_settled { "Stable" } else { "Reconciling" };
    DescribedGroup::default()
        .with_group_id(name.clone())
        .with_authorized_operations(UNKNOWN_OPERATIONS)
        .with_group_state(StrBytes::from_static_str(state))
        .with_group_epoch(epoch)
        .with_assignment_epoch(epoch)
        .with_assignor_name(StrBytes::from_static_str("uniform"))
        .with_members(readers.iter().map(|reader| member(call, topics, reader)).collect())
}

fn member(call: &Call, topics: &Topics, reader: &DescribedReader) -> Member {
    let wanted = reader.topics.iter().map(|topic| TopicName(spoken(topic)));
    let member = Member::default()
        .with_member_id(spoken(&reader.id))
        .with_instance_id(reader.instance.as_deref().map(spoken))
        .with_member_epoch(reader.epoch)
        .with_client_id(spoken(&reader.client_id))
        .with_client_host(spoken(&reader.host))
        .with_subscribed_topic_names(wanted.collect())
        .with_assignment(assignment(topics, &reader.told))
        .with_target_assignment(assignment(topics, &reader.target));
    if call.version >= 1 { member.with_member_type(CONSUMER) } else { member }
}

fn assignment(topics: &Topics, spots: &BTreeSet<Spot>) -> Assignment {
    let mut by_topic: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for spot in spots {
        let index = i32::try_from(spot.partition).unwrap_or(i32::MAX);
        by_topic.entry(&spot.topic).or_default().push(index);
    }
    let assigned = by_topic.into_iter().filter_map(|(topic, partitions)| {
        let (_, id) = topics.named(topic)?;
        let topic = TopicName(spoken(topic));
        let assigned = TopicPartitions::default().with_topic_id(id).with_topic_name(topic);
        Some(assigned.with_partitions(partitions))
    });
    Assignment::default().with_topic_partitions(assigned.collect())
}
