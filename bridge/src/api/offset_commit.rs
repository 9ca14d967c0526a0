//! OffsetCommit: answered when the offsets are durable.

use std::sync::Arc;

use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_commit_response::{
    OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use kafka_protocol::messages::{OffsetCommitRequest, OffsetCommitResponse};

use super::wanted::{Asked, Judged, code, judge};
use crate::context::{Call, Context};
use crate::groups::{Answer, Caller, Refusal};
use crate::text::shared;

/// Commits what can be, and says what cannot.
pub(super) async fn answer(
    context: &Context,
    call: &Call,
    request: OffsetCommitRequest,
) -> OffsetCommitResponse {
    let name: Arc<str> = shared(&request.group_id);
    let (topics, permit) = (context.topics(), context.permit(call));
    let metadata_max = context.coordinator.look(|groups| groups.limits().offset_metadata_bytes_max);
    let judged: Vec<(&OffsetCommitRequestTopic, Vec<Judged>)> = request
        .topics
        .iter()
        .map(|topic| {
            let asked = topic.partitions.iter().map(|it| asked(it, call.version));
            (topic, judge((&topics, &permit), &topic.name, asked, metadata_max))
        })
        .collect();
    let wanted = judged.iter().flat_map(|(_, partitions)| partitions);
    let wanted = wanted.filter_map(|(_, judged)| judged.as_ref().ok().cloned()).collect();
    let caller = Caller {
        member: shared(&request.member_id),
        instance: request.group_instance_id.as_deref().map(shared),
        generation: request.generation_id_or_member_epoch,
    };
    let may = permit.group(&name);
    let became = match may {
        Err(error) => error.code(),
        Ok(()) => match context.coordinator.commit(&name, &caller, wanted).await {
            Answer::Done => 0,
            Answer::Refused(why) => why.code(),
            _ => Refusal::InvalidRequest.code(),
        },
    };
    let partition = |(index, judged): Judged| {
        OffsetCommitResponsePartition::default()
            .with_partition_index(index)
            .with_error_code(code(may, judged, became))
    };
    let topic = |(topic, judged): (&OffsetCommitRequestTopic, Vec<Judged>)| {
        OffsetCommitResponseTopic::default()
            .with_name(topic.name.clone())
            .with_partitions(judged.into_iter().map(partition).collect())
    };
    OffsetCommitResponse::default().with_topics(judged.into_iter().map(topic).collect())
}

fn asked(partition: &OffsetCommitRequestPartition, version: i16) -> Asked<'_> {
    Asked {
        partition: partition.partition_index,
        offset: partition.committed_offset,
        leader_epoch: if version >= 6 { partition.committed_leader_epoch } else { -1 },
        metadata: partition.committed_metadata.as_deref().unwrap_or_default(),
    }
}
