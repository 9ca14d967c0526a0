//! TxnOffsetCommit: offsets that are a group's when their transaction is committed, not before.

use std::sync::Arc;

use kafka_protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use kafka_protocol::messages::txn_offset_commit_response::{
    TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};
use kafka_protocol::messages::{TxnOffsetCommitRequest, TxnOffsetCommitResponse};

use super::wanted::{Asked, Judged, code, judge};
use crate::context::{Call, Context};
use crate::groups::{Caller, Wanted};
use crate::text::shared;
use crate::transactions::{Knows, Producer};

/// The first version that knows TRANSACTION_ABORTABLE.
const ABORTS_SINCE: i16 = 4;

/// Holds what can be held, and says what cannot.
pub(super) fn answer(
    context: &Context,
    call: &Call,
    request: &TxnOffsetCommitRequest,
) -> TxnOffsetCommitResponse {
    let (topics, permit) = (context.topics(), context.permit(call));
    let metadata_max = context.coordinator.look(|groups| groups.limits().offset_metadata_bytes_max);
    let judged: Vec<(&TxnOffsetCommitRequestTopic, Vec<Judged>)> = request
        .topics
        .iter()
        .map(|topic| {
            let asked = topic.partitions.iter().map(|it| asked(it, call.version));
            (topic, judge((&topics, &permit), &topic.name, asked, metadata_max))
        })
        .collect();
    let wanted = judged.iter().flat_map(|(_, partitions)| partitions);
    let wanted = wanted.filter_map(|(_, judged)| judged.as_ref().ok().cloned()).collect();
    let may = permit.transaction(&request.transactional_id);
    let may = may.and_then(|()| permit.group(&request.group_id));
    let became = match may {
        Ok(()) => hold(context, call, request, wanted),
        Err(error) => error.code(),
    };
    let partition = |(index, judged): Judged| {
        TxnOffsetCommitResponsePartition::default()
            .with_partition_index(index)
            .with_error_code(code(may, judged, became))
    };
    let topic = |(topic, judged): (&TxnOffsetCommitRequestTopic, Vec<Judged>)| {
        TxnOffsetCommitResponseTopic::default()
            .with_name(topic.name.clone())
            .with_partitions(judged.into_iter().map(partition).collect())
    };
    TxnOffsetCommitResponse::default().with_topics(judged.into_iter().map(topic).collect())
}

/// What becomes of those that are right.
fn hold(
    context: &Context,
    call: &Call,
    request: &TxnOffsetCommitRequest,
    wanted: Vec<Wanted>,
) -> i16 {
    let group: Arc<str> = shared(&request.group_id);
    let is_named = call.version >= 3;
    let caller = Caller {
        member: shared(&request.member_id),
        instance: request.group_instance_id.as_deref().map(shared),
        generation: if is_named { request.generation_id } else { -1 },
    };
    let checked = context
        .coordinator
        .change(|groups, now| groups.check_offsets(&group, &caller, &wanted, now));
    if let Err(why) = checked {
        return why.code();
    }
    let producer = Producer { id: request.producer_id.0, epoch: request.producer_epoch };
    let id = shared(&request.transactional_id);
    match context.transact.hold_offsets(&id, producer, &group, wanted) {
        Ok(()) => 0,
        Err(why) => {
            let abortable = call.version >= ABORTS_SINCE;
            why.to_offsets(Knows { fenced: false, abortable }).code()
        }
    }
}

fn asked(partition: &TxnOffsetCommitRequestPartition, version: i16) -> Asked<'_> {
    Asked {
        partition: partition.partition_index,
        offset: partition.committed_offset,
        leader_epoch: if version >= 2 { partition.committed_leader_epoch } else { -1 },
        metadata: partition.committed_metadata.as_deref().unwrap_or_default(),
    }
}
