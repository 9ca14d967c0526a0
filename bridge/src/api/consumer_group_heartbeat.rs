//! ConsumerGroupHeartbeat: members that say what they want to read, and hear what they read.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::consumer_group_heartbeat_request::TopicPartitions;
use kafka_protocol::messages::consumer_group_heartbeat_response::{
    Assignment, TopicPartitions as Assigned,
};
use kafka_protocol::messages::{ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse};
use kafka_protocol::protocol::StrBytes;

use crate::context::{Call, Context};
use crate::groups::{Beat, Refusal, Spot};
use crate::member_id::member_id;
use crate::names::Topics;
use crate::text::{shared, spoken};

/// The one way to share out that we know.
const UNIFORM: &str = "uniform";
/// Kafka's other one, which clients may ask for; ours is as good.
const RANGE: &str = "range";
/// Kafka's "that way to share out is not supported".
const UNSUPPORTED_ASSIGNOR: i16 = 112;

/// What the member is to read from now on.
pub(super) fn answer(
    context: &Context,
    call: &Call,
    request: &ConsumerGroupHeartbeatRequest,
) -> ConsumerGroupHeartbeatResponse {
    if let Err(error) = context.permit(call).group(&request.group_id) {
        return refused(error.code(), "the group may not be used");
    }
    let assignor = request.server_assignor.as_deref().unwrap_or(UNIFORM);
    if assignor != UNIFORM && assignor != RANGE {
        return refused(UNSUPPORTED_ASSIGNOR, "share out is done by \"uniform\"");
    }
    if request.subscribed_topic_regex.as_deref().is_some_and(|regex| !regex.is_empty()) {
        let why = "patterns of topics are not known here: name the topics";
        return refused(Refusal::InvalidRequest.code(), why);
    }
    let topics = context.topics();
    if !sees_all(context, call, request) {
        let why = "a topic that the member wants to read may not be seen by it";
        return refused(ResponseError::TopicAuthorizationFailed.code(), why);
    }
    let Some(beat) = beat(&topics, call, request) else {
        return refused(Refusal::NotStored.code(), "there are no random numbers for an id");
    };
    let name: Arc<str> = shared(&request.group_id);
    let interval_ms = context.coordinator.look(|groups| groups.limits().reader_beat_ms);
    match context.coordinator.beat(&name, &beat) {
        Err(why) => refused(why.code(), &why.to_string()),
        Ok(pulse) => ConsumerGroupHeartbeatResponse::default()
            .with_member_id(Some(spoken(&beat.member)))
            .with_member_epoch(pulse.epoch)
            .with_heartbeat_interval_ms(i32::try_from(interval_ms).unwrap_or(i32::MAX))
            .with_assignment(pulse.assignment.map(|spots| assignment(&topics, &spots))),
    }
}

/// Partitions and ids of streams are told only to who may see these.
fn sees_all(context: &Context, call: &Call, request: &ConsumerGroupHeartbeatRequest) -> bool {
    let (topics, permit) = (context.topics(), context.permit(call));
    let sees = |name: &str| topics.named(name).is_none_or(|(stream, _)| permit.sees(stream));
    request.subscribed_topic_names.iter().flatten().all(|name| sees(name))
}

/// `None` if the system has no random numbers for an id.
fn beat(topics: &Topics, call: &Call, request: &ConsumerGroupHeartbeatRequest) -> Option<Beat> {
    let member = match request.member_id.is_empty() {
        true => member_id(&call.client_id)?,
        false => shared(&request.member_id),
    };
    let wanted: Option<BTreeSet<Arc<str>>> = request
        .subscribed_topic_names
        .as_ref()
        .map(|names| names.iter().map(|name| shared(name)).collect());
    let named = |topic: &Arc<str>| {
        let (stream, _) = topics.named(topic)?;
        Some((Arc::clone(topic), u32::try_from(stream.partitions.len()).ok()?))
    };
    let counts = match &wanted {
        Some(wanted) => wanted.iter().filter_map(named).collect(),
        None => Vec::new(),
    };
    let owned = request.topic_partitions.as_ref();
    Some(Beat {
        member,
        instance: request.instance_id.as_deref().map(shared),
        epoch: request.member_epoch,
        client_id: call.client_id.as_str().into(),
        host: format!("/{}", call.peer.ip().to_canonical()).into(),
        rebalance_ms: request.rebalance_timeout_ms,
        topics: wanted,
        owned: owned.map(|owned| owned.iter().flat_map(|one| spots(topics, one)).collect()),
        counts,
    })
}

fn spots(topics: &Topics, owned: &TopicPartitions) -> Vec<Spot> {
    let Some((stream, _)) = topics.with_id(owned.topic_id) else { return Vec::new() };
    let topic: Arc<str> = shared(&stream.name);
    let indexes = owned.partitions.iter().filter_map(|index| u32::try_from(*index).ok());
    indexes.map(|partition| Spot { topic: Arc::clone(&topic), partition }).collect()
}

fn assignment(topics: &Topics, spots: &[Spot]) -> Assignment {
    let mut by_topic: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for spot in spots {
        let index = i32::try_from(spot.partition).unwrap_or(i32::MAX);
        by_topic.entry(&spot.topic).or_default().push(index);
    }
    let assigned = by_topic.into_iter().filter_map(|(topic, partitions)| {
        let (_, id) = topics.named(topic)?;
        Some(Assigned::default().with_topic_id(id).with_partitions(partitions))
    });
    Assignment::default().with_topic_partitions(assigned.collect())
}

fn refused(code: i16, why: &str) -> ConsumerGroupHeartbeatResponse {
    ConsumerGroupHeartbeatResponse::default()
        .with_error_code(code)
        .with_error_message(Some(StrBytes::from_string(why.to_owned())))
}
