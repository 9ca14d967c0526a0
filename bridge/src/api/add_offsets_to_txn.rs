//! AddOffsetsToTxn: a transaction is to commit offsets of a consumer group too.

use kafka_protocol::messages::{AddOffsetsToTxnRequest, AddOffsetsToTxnResponse};

use crate::context::{Call, Context};
use crate::text::shared;
use crate::transactions::{Answer, Part, Producer, Refusal};

/// The first version that knows PRODUCER_FENCED.
const FENCES_SINCE: i16 = 2;

/// Answered when it is durable that the transaction began.
pub(super) async fn answer(
    context: &Context,
    call: &Call,
    request: &AddOffsetsToTxnRequest,
) -> AddOffsetsToTxnResponse {
    let producer = Producer { id: request.producer_id.0, epoch: request.producer_epoch };
    let id = shared(&request.transactional_id);
    let group = Part::Group(shared(&request.group_id));
    let error = match context.transact.add(&id, producer, group).await {
        Answer::Done => 0,
        Answer::Refused(why) => why.to_coordinator(call.version >= FENCES_SINCE).code(),
        Answer::Producer(_) => Refusal::InvalidRequest.to_coordinator(true).code(),
    };
    AddOffsetsToTxnResponse::default().with_error_code(error)
}
