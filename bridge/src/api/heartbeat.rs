//! Heartbeat: a member lives, and hears whether the others agree anew.

use std::sync::Arc;

use kafka_protocol::messages::{HeartbeatRequest, HeartbeatResponse};

use crate::context::{Call, Context};
use crate::groups::Caller;
use crate::text::shared;

/// Whether the member is still in step.
pub(super) fn answer(
    context: &Context,
    call: &Call,
    request: &HeartbeatRequest,
) -> HeartbeatResponse {
    if let Err(error) = context.permit(call).group(&request.group_id) {
        return HeartbeatResponse::default().with_error_code(error.code());
    }
    let name: Arc<str> = shared(&request.group_id);
    let caller = Caller {
        member: shared(&request.member_id),
        instance: request.group_instance_id.as_deref().map(shared),
        generation: request.generation_id,
    };
    let beat = context.coordinator.change(|groups, now| groups.heartbeat(&name, &caller, now));
    HeartbeatResponse::default().with_error_code(beat.err().map_or(0, |why| why.code()))
}
