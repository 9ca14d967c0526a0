//! AddOffsetsToTxn: a transaction is to commit offsets of a consumer group too.

use kafka_protocol::messages::{AddOffsetsToTxnRequest, AddOffsetsToTxnResponse};

use crate::context::{Call, Context};
use crate::text::shared;
use crate::transactions::{Answer, Knows, Part, Producer, Refusal};

/// The first version that knows PRODUCER_FENCED.
const FENCES_SINCE: i16 = 2;
/// The first that knows TRANSACTION_ABORTABLE.
const ABORTS_SINCE: i16 = 4;

/// Answered when it is durable that the transaction began.
pub(super) async fn answer(
    context: &Context,
    call: &Call,
    request: &AddOffsetsToTxnRequest,
) -> AddOffsetsToTxnResponse {
    let producer = Producer { id: request.producer_id.0, epoch: request.producer_epoch };
    let permit = context.permit(call);
    let may = permit.transaction(&request.transactional_id);
    if let Err(error) = may.and_then(|()| permit.group(&request.group_id)) {
        return AddOffsetsToTxnResponse::default().with_error_code(error.code());
    }
    let id = shared(&request.transactional_id);
    if let Err(why) = context.coordinator.look(|groups| groups.check_name(&request.group_id)) {
        return AddOffsetsToTxnResponse::default().with_error_code(why.code());
    }
    let group = Part::Group(shared(&request.group_id));
    let error = match context.transact.add(&id, producer, group).await {
        Answer::Done => 0,
        Answer::Refused(why) => why.to_coordinator(knows(call)).code(),
        Answer::Producer(_) => Refusal::InvalidRequest.to_coordinator(knows(call)).code(),
    };
    AddOffsetsToTxnResponse::default().with_error_code(error)
}

fn knows(call: &Call) -> Knows {
    Knows { fenced: call.version >= FENCES_SINCE, abortable: call.version >= ABORTS_SINCE }
}
