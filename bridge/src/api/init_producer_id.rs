//! InitProducerId: a number for an idempotent producer, or the next epoch of one.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::{InitProducerIdRequest, InitProducerIdResponse, ProducerId};
use tidewire_store::CommitError;

use crate::context::Context;

/// Transactions are not there yet, and said so.
pub(super) async fn answer(
    context: &Context,
    request: &InitProducerIdRequest,
) -> InitProducerIdResponse {
    match give(context, request).await {
        Ok((id, epoch)) => InitProducerIdResponse::default()
            .with_producer_id(ProducerId(id))
            .with_producer_epoch(epoch),
        Err(error) => InitProducerIdResponse::default()
            .with_error_code(error.code())
            .with_producer_id(ProducerId(-1))
            .with_producer_epoch(-1),
    }
}

async fn give(
    context: &Context,
    request: &InitProducerIdRequest,
) -> Result<(i64, i16), ResponseError> {
    if request.transactional_id.is_some() {
        return Err(ResponseError::TransactionalIdAuthorizationFailed);
    }
    // A producer that met an error goes on under its number, with a new epoch.
    let has_next = request.producer_epoch < i16::MAX - 1 && request.producer_epoch >= 0;
    if request.producer_id.0 >= 0 && has_next {
        return Ok((request.producer_id.0, request.producer_epoch + 1));
    }
    let read = |table, key: &[u8]| context.store.get(table, key).ok().flatten();
    let commit = async |commit| context.commit(commit).await.map(drop);
    let id = context.producer_ids.next(read, commit).await;
    let id = id.map_err(|error: CommitError| {
        tracing::warn!(%error, "no producer id can be given");
        ResponseError::CoordinatorNotAvailable
    })?;
    Ok((id, 0))
}
