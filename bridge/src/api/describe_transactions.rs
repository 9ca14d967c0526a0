//! DescribeTransactions: what a transactional id is doing, and where, as far as the client may use
//! the id and see the streams. Changes nothing.

use std::collections::BTreeMap;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::describe_transactions_response::{TopicData, TransactionState};
use kafka_protocol::messages::{
    DescribeTransactionsRequest, DescribeTransactionsResponse, ProducerId, TopicName,
    TransactionalId,
};
use kafka_protocol::protocol::StrBytes;
use tidewire_store::Stream;

use super::asked::{once, room};
use crate::context::{Call, Context};
use crate::text::spoken;
use crate::transactions::Described;

/// What an id takes in an answer, besides what it says, and a topic of it.
const STATE_BYTES: usize = 512;
const TOPIC_BYTES: usize = 256;

/// Answers id by id.
pub(super) fn answer(
    context: &Context,
    call: &Call,
    request: &DescribeTransactionsRequest,
) -> DescribeTransactionsResponse {
    let permit = context.permit(call);
    let streams = context.store.streams();
    let seen: Vec<_> = streams.iter().filter(|stream| permit.sees(stream)).collect();
    let one = |id: &TransactionalId| {
        let state = TransactionState::default().with_transactional_id(id.clone());
        let unknown = ResponseError::TransactionalIdNotFound;
        let described =
            permit.transaction(id).and_then(|()| context.transact.describe(id).ok_or(unknown));
        match described {
            Ok(described) => tell(state, &seen, &described),
            Err(error) => state
                .with_error_code(error.code())
                .with_producer_id(ProducerId(-1))
                .with_producer_epoch(-1)
                .with_transaction_start_time_ms(-1),
        }
    };
    // Of more than fits nothing is said: a client that asks for less at a time hears all.
    let mut room = room();
    let mut states = Vec::new();
    for state in once(&request.transactional_ids, |id| id).map(one) {
        let topics = state.topics.iter();
        let bytes: usize = topics.map(|it| TOPIC_BYTES + 4 * it.partitions.len()).sum();
        if room.take(STATE_BYTES + state.transactional_id.len() + bytes).is_err() {
            break;
        }
        states.push(state);
    }
    DescribeTransactionsResponse::default().with_transaction_states(states)
}

fn tell(state: TransactionState, streams: &[&Stream], described: &Described) -> TransactionState {
    let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for stream in streams {
        for (index, id) in (0..).zip(&stream.partitions) {
            if described.partitions.contains(id) {
                topics.entry(&stream.name).or_default().push(index);
            }
        }
    }
    let topic = |(name, partitions): (&str, Vec<i32>)| {
        TopicData::default().with_topic(TopicName(spoken(name))).with_partitions(partitions)
    };
    state
        .with_transaction_state(StrBytes::from_static_str(described.state))
        .with_transaction_timeout_ms(i32::try_from(described.timeout_ms).unwrap_or(i32::MAX))
        .with_transaction_start_time_ms(described.since_ms.unwrap_or(-1))
        .with_producer_id(ProducerId(described.producer.id))
        .with_producer_epoch(described.producer.epoch)
        .with_topics(topics.into_iter().map(topic).collect())
}
