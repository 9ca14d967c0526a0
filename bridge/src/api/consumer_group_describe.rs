//! ConsumerGroupDescribe: groups whose members are told what to read, and who reads what.

use std::collections::{BTreeMap, BTreeSet};

use kafka_protocol::messages::consumer_group_describe_response::{
    Assignment, DescribedGroup, Member, TopicPartitions,
};
use kafka_protocol::messages::{
    ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse, GroupId, TopicName,
};
use kafka_protocol::protocol::StrBytes;

use crate::context::{Call, Context};
use crate::groups::{DescribedReader, Refusal, Spot};
use crate::names::{Topics, UNKNOWN_OPERATIONS};
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
    let describe = |name: &GroupId| group(context, call, &topics, name);
    ConsumerGroupDescribeResponse::default()
        .with_groups(request.group_ids.iter().map(describe).collect())
}

fn group(context: &Context, call: &Call, topics: &Topics, name: &GroupId) -> DescribedGroup {
    let described = DescribedGroup::default()
        .with_group_id(name.clone())
        .with_authorized_operations(UNKNOWN_OPERATIONS);
    let Some((epoch, readers)) = context.coordinator.look(|groups| groups.readers(name)) else {
        let message = StrBytes::from_string(Refusal::UnknownGroup.to_string());
        return described
            .with_error_code(Refusal::UnknownGroup.code())
            .with_error_message(Some(message));
    };
    let is_settled = readers.iter().all(|reader| reader.told == reader.target);
    let state = if is_settled { "Stable" } else { "Reconciling" };
    described
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
