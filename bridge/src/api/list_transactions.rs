//! ListTransactions: all transactional ids that the client may use, and how far each is. Changes
//! nothing.

use kafka_protocol::messages::list_transactions_response::TransactionState;
use kafka_protocol::messages::{
    ListTransactionsRequest, ListTransactionsResponse, ProducerId, TransactionalId,
};
use kafka_protocol::protocol::StrBytes;

use crate::context::{Call, Context};
use crate::text::spoken;
use crate::time::now_ms;
use crate::transactions::Described;

/// What Kafka knows; who asks for another hears that it means nothing.
const STATES: [&str; 8] = [
    "Empty",
    "Ongoing",
    "PrepareCommit",
    "PrepareAbort",
    "CompleteCommit",
    "CompleteAbort",
    "Dead",
    "PrepareEpochFence",
];

/// All, or those in the states, of the producers, and open for longer than is asked for.
pub(super) fn answer(
    context: &Context,
    call: &Call,
    request: &ListTransactionsRequest,
) -> ListTransactionsResponse {
    let states = &request.state_filters;
    let now_ms = now_ms();
    let is_wanted = |described: &Described| {
        let producers = &request.producer_id_filters;
        let longer = |since: i64| now_ms.saturating_sub(since) > request.duration_filter;
        (states.is_empty() || states.iter().any(|state| state.as_str() == described.state))
            && (producers.is_empty() || producers.contains(&ProducerId(described.producer.id)))
            && (request.duration_filter < 0 || described.since_ms.is_some_and(longer))
    };
    let permit = context.permit(call);
    let mut listed = context.transact.list();
    listed.retain(|(id, described)| is_wanted(described) && permit.transaction(id).is_ok());
    listed.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
    let state = |(id, described): (std::sync::Arc<str>, Described)| {
        TransactionState::default()
            .with_transactional_id(TransactionalId(spoken(&id)))
            .with_producer_id(ProducerId(described.producer.id))
            .with_transaction_state(StrBytes::from_static_str(described.state))
    };
    let unknown = states.iter().filter(|state| !STATES.contains(&state.as_str()));
    ListTransactionsResponse::default()
        .with_unknown_state_filters(unknown.cloned().collect())
        .with_transaction_states(listed.into_iter().map(state).collect())
}
