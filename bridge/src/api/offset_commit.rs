//! OffsetCommit: answered when the offsets are durable.

use std::sync::Arc;

use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_commit_response::{
    OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use kafka_protocol::messages::{OffsetCommitRequest, OffsetCommitResponse};

use crate::context::{Call, Context};
use crate::groups::{Answer, Caller, Refusal, Spot, Wanted};
use crate::names::Topics;
use crate::text::shared;

/// What is said of one partition: an offset to commit, or why not.
type Judged = (i32, Result<Wanted, Refusal>);

/// Commits what can be, and says what cannot.
pub(super) async fn answer(
    context: &Context,
    call: &Call,
    request: OffsetCommitRequest,
) -> OffsetCommitResponse {
    let name: Arc<str> = shared(&request.group_id);
    let topics = context.topics();
    let metadata_max = context.coordinator.look(|groups| groups.limits().offset_metadata_bytes_max);
    let judged: Vec<(&OffsetCommitRequestTopic, Vec<Judged>)> = request
        .topics
        .iter()
        .map(|topic| (topic, judge(&topics, topic, call, metadata_max)))
        .collect();
    let wanted = judged.iter().flat_map(|(_, partitions)| partitions);
    let wanted = wanted.filter_map(|(_, judged)| judged.as_ref().ok().cloned()).collect();
    let caller = Caller {
        member: shared(&request.member_id),
        instance: request.group_instance_id.as_deref().map(shared),
        generation: request.generation_id_or_member_epoch,
    };
    let error = match context.coordinator.commit(&name, &caller, wanted).await {
        Answer::Done => 0,
        Answer::Refused(why) => why.code(),
        _ => Refusal::InvalidRequest.code(),
    };
    let partition = |(index, judged): Judged| {
        OffsetCommitResponsePartition::default()
            .with_partition_index(index)
            .with_error_code(judged.err().map_or(error, Refusal::code))
    };
    let topic = |(topic, judged): (&OffsetCommitRequestTopic, Vec<Judged>)| {
        OffsetCommitResponseTopic::default()
            .with_name(topic.name.clone())
            .with_partitions(judged.into_iter().map(partition).collect())
    };
    OffsetCommitResponse::default().with_topics(judged.into_iter().map(topic).collect())
}

fn judge(
    topics: &Topics,
    topic: &OffsetCommitRequestTopic,
    call: &Call,
    metadata_max: usize,
) -> Vec<Judged> {
    let name: Arc<str> = shared(&topic.name);
    let count = topics.named(&name).map_or(0, |(stream, _)| stream.partitions.len());
    let one = |partition: &OffsetCommitRequestPartition| {
        let index = u32::try_from(partition.partition_index);
        let known = index.ok().filter(|index| (*index as usize) < count);
        let known = known.ok_or(Refusal::UnknownPartition)?;
        let metadata = partition.committed_metadata.as_deref().unwrap_or_default();
        if metadata.len() > metadata_max {
            return Err(Refusal::MetadataTooLarge);
        }
        Ok(Wanted {
            spot: Spot { topic: Arc::clone(&name), partition: known },
            offset: u64::try_from(partition.committed_offset)
                .map_err(|_| Refusal::InvalidRequest)?,
            leader_epoch: if call.version >= 6 { partition.committed_leader_epoch } else { -1 },
            metadata: metadata.into(),
        })
    };
    topic.partitions.iter().map(|it| (it.partition_index, one(it))).collect()
}
