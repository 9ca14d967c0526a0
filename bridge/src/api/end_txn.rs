//! EndTxn: all that a transaction holds is appended at once, or is gone.

use kafka_protocol::messages::{EndTxnRequest, EndTxnResponse};

use crate::context::{Call, Context};
use crate::text::shared;
use crate::transactions::{Answer, Knows, Producer, Refusal};

/// The first version that knows PRODUCER_FENCED.
const FENCES_SINCE: i16 = 2;
/// The first that knows TRANSACTION_ABORTABLE.
const ABORTS_SINCE: i16 = 4;

/// Answered when it is durable.
pub(super) async fn answer(
    context: &Context,
    call: &Call,
    request: &EndTxnRequest,
) -> EndTxnResponse {
    let producer = Producer { id: request.producer_id.0, epoch: request.producer_epoch };
    if let Err(error) = context.permit(call).transaction(&request.transactional_id) {
        return EndTxnResponse::default().with_error_code(error.code());
    }
    let id = shared(&request.transactional_id);
    let error = match context.transact.end(&id, producer, request.committed).await {
        Answer::Done => 0,
        Answer::Refused(why) => why.to_coordinator(knows(call)).code(),
        Answer::Producer(_) => Refusal::InvalidRequest.to_coordinator(knows(call)).code(),
    };
    EndTxnResponse::default().with_error_code(error)
}

fn knows(call: &Call) -> Knows {
    Knows { fenced: call.version >= FENCES_SINCE, abortable: call.version >= ABORTS_SINCE }
}
