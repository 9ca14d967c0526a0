//! EndTxn: all that a transaction holds is appended at once, or is gone.

use kafka_protocol::messages::{EndTxnRequest, EndTxnResponse};

use crate::context::{Call, Context};
use crate::text::shared;
use crate::transactions::{Answer, Producer, Refusal};

/// The first version that knows PRODUCER_FENCED.
const FENCES_SINCE: i16 = 2;

/// Answered when it is durable.
pub(super) async fn answer(
    context: &Context,
    call: &Call,
    request: &EndTxnRequest,
) -> EndTxnResponse {
    let producer = Producer { id: request.producer_id.0, epoch: request.producer_epoch };
    let id = shared(&request.transactional_id);
    let error = match context.transact.end(&id, producer, request.committed).await {
        Answer::Done => 0,
        Answer::Refused(why) => why.to_coordinator(call.version >= FENCES_SINCE).code(),
        Answer::Producer(_) => Refusal::InvalidRequest.to_coordinator(true).code(),
    };
    EndTxnResponse::default().with_error_code(error)
}
