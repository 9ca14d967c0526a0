//! AddPartitionsToTxn: a transaction is to write to these partitions too; all of them or none.

use std::sync::Arc;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use kafka_protocol::messages::add_partitions_to_txn_response::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnResult, AddPartitionsToTxnTopicResult,
};
use kafka_protocol::messages::{AddPartitionsToTxnRequest, AddPartitionsToTxnResponse};
use tidewire_proto::id::PartitionId;

use crate::context::{Call, Context};
use crate::names;
use crate::permit::Permit;
use crate::text::shared;
use crate::transactions::{Answer, Knows, Part, Producer, Refusal};

/// The first version that knows PRODUCER_FENCED.
const FENCES_SINCE: i16 = 2;
/// The first that knows TRANSACTION_ABORTABLE.
const ABORTS_SINCE: i16 = 4;
/// The first version that has several transactions in a request.
const MANY_SINCE: i16 = 4;

/// A partition, or what is wrong with it.
type Found = Result<PartitionId, ResponseError>;

/// Answered when it is durable that the transactions began.
pub(super) async fn answer(
    context: &Context,
    call: &Call,
    request: &AddPartitionsToTxnRequest,
) -> AddPartitionsToTxnResponse {
    if call.version < MANY_SINCE {
        let id = shared(&request.v3_and_below_transactional_id);
        let producer = Producer {
            id: request.v3_and_below_producer_id.0,
            epoch: request.v3_and_below_producer_epoch,
        };
        let results = one(context, call, (&id, producer), &request.v3_and_below_topics).await;
        return AddPartitionsToTxnResponse::default().with_results_by_topic_v3_and_below(results);
    }
    let mut results = Vec::with_capacity(request.transactions.len());
    for transaction in &request.transactions {
        let id = shared(&transaction.transactional_id);
        let producer =
            Producer { id: transaction.producer_id.0, epoch: transaction.producer_epoch };
        let topics = one(context, call, (&id, producer), &transaction.topics).await;
        let result = AddPartitionsToTxnResult::default()
            .with_transactional_id(transaction.transactional_id.clone())
            .with_topic_results(topics);
        results.push(result);
    }
    AddPartitionsToTxnResponse::default().with_results_by_transaction(results)
}

async fn one(
    context: &Context,
    call: &Call,
    (id, producer): (&Arc<str>, Producer),
    topics: &[AddPartitionsToTxnTopic],
) -> Vec<AddPartitionsToTxnTopicResult> {
    let permit = context.permit(call);
    let found = find(context, &permit, topics);
    let are_all_right = found.iter().flatten().all(Result::is_ok);
    let may = permit.transaction(id);
    let error = if let Err(error) = may {
        error.code()
    } else if are_all_right {
        let partitions = found.iter().flatten().filter_map(|it| it.ok()).collect();
        match context.transact.add(id, producer, Part::Partitions(partitions)).await {
            Answer::Done => 0,
            Answer::Refused(why) => why.to_coordinator(knows(call)).code(),
            Answer::Producer(_) => Refusal::InvalidRequest.to_coordinator(knows(call)).code(),
        }
    } else {
        ResponseError::OperationNotAttempted.code()
    };
    let results = topics.iter().zip(&found).map(|(topic, found)| {
        let partitions = topic.partitions.iter().zip(found).map(|(index, found)| {
            AddPartitionsToTxnPartitionResult::default()
                .with_partition_index(*index)
                .with_partition_error_code(match (may, found) {
                    // Who may not does not hear either which partitions there are.
                    (Err(denied), _) => denied.code(),
                    (Ok(()), Err(wrong)) => wrong.code(),
                    (Ok(()), Ok(_)) => error,
                })
        });
        AddPartitionsToTxnTopicResult::default()
            .with_name(topic.name.clone())
            .with_results_by_partition(partitions.collect())
    });
    results.collect()
}

/// The partitions of each topic: whoever may write nothing into a stream hears just that.
fn find(context: &Context, permit: &Permit, topics: &[AddPartitionsToTxnTopic]) -> Vec<Vec<Found>> {
    let streams = context.topics();
    let unknown = ResponseError::UnknownTopicOrPartition;
    let of_topic = |topic: &AddPartitionsToTxnTopic| {
        let stream = streams.named(&topic.name).map(|(stream, _)| stream).ok_or(unknown);
        let stream = stream.and_then(|stream| permit.writes(stream).map(|()| stream));
        let place = |index: &i32| names::partition(stream?, *index).ok_or(unknown);
        topic.partitions.iter().map(place).collect()
    };
    topics.iter().map(of_topic).collect()
}

fn knows(call: &Call) -> Knows {
    Knows { fenced: call.version >= FENCES_SINCE, abortable: call.version >= ABORTS_SINCE }
}
