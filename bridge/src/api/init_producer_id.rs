//! InitProducerId: a number for an idempotent producer, or the next epoch of one; and who has a
//! transactional id from now on.

use std::sync::Arc;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::{InitProducerIdRequest, InitProducerIdResponse, ProducerId};

use crate::context::{Call, Context};
use crate::producer_ids;
use crate::text::shared;
use crate::transactions::{Answer, Knows, Producer, Start};

/// The first version that knows PRODUCER_FENCED.
const FENCES_SINCE: i16 = 4;

/// With a transactional id, whoever had it before is refused from here on.
pub(super) async fn answer(
    context: &Context,
    call: &Call,
    request: &InitProducerIdRequest,
) -> InitProducerIdResponse {
    let given = match &request.transactional_id {
        Some(id) => match context.permit(call).transaction(id) {
            Ok(()) => start(context, call, &shared(id), request).await,
            Err(error) => Err(error),
        },
        None => give(request),
    };
    match given {
        Ok((id, epoch)) => InitProducerIdResponse::default()
            .with_producer_id(ProducerId(id))
            .with_producer_epoch(epoch),
        Err(error) => InitProducerIdResponse::default()
            .with_error_code(error.code())
            .with_producer_id(ProducerId(-1))
            .with_producer_epoch(-1),
    }
}

fn give(request: &InitProducerIdRequest) -> Result<(i64, i16), ResponseError> {
    // A producer that met an error goes on under its number, with a new epoch.
    let has_next = request.producer_epoch < i16::MAX - 1 && request.producer_epoch >= 0;
    if request.producer_id.0 >= 0 && has_next {
        return Ok((request.producer_id.0, request.producer_epoch + 1));
    }
    Ok((fresh()?, 0))
}

async fn start(
    context: &Context,
    call: &Call,
    id: &Arc<str>,
    request: &InitProducerIdRequest,
) -> Result<(i64, i16), ResponseError> {
    let fresh = match context.transact.needs_number(id) {
        true => Some(fresh()?),
        false => None,
    };
    let known = Producer { id: request.producer_id.0, epoch: request.producer_epoch };
    let known = (call.version >= 3 && known.id >= 0).then_some(known);
    let start = Start { timeout_ms: request.transaction_timeout_ms, known, fresh };
    match context.transact.start(id, start).await {
        Answer::Producer(Producer { id, epoch }) => Ok((id, epoch)),
        Answer::Refused(why) => {
            let fenced = call.version >= FENCES_SINCE;
            Err(why.to_coordinator(Knows { fenced, abortable: false }))
        }
        Answer::Done => Err(ResponseError::InvalidRequest),
    }
}

/// A number that nobody has, or had.
fn fresh() -> Result<i64, ResponseError> {
    producer_ids::fresh().map_err(|error| {
        tracing::warn!(%error, "no producer id can be given");
        ResponseError::CoordinatorNotAvailable
    })
}
