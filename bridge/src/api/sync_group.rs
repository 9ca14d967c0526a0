//! SyncGroup: waits until the leader has said who reads what.

use std::sync::Arc;

use bytes::Bytes;
use kafka_protocol::messages::{SyncGroupRequest, SyncGroupResponse};

use crate::context::{Call, Context};
use crate::groups::{Answer, Caller, Refusal, Sync};
use crate::text::{shared, spoken};

/// What the member reads.
pub(super) async fn answer(
    context: &Context,
    call: &Call,
    request: SyncGroupRequest,
) -> SyncGroupResponse {
    if let Err(error) = context.permit(call).group(&request.group_id) {
        return SyncGroupResponse::default().with_error_code(error.code());
    }
    let assignments = request.assignments.iter();
    let sync = Sync {
        caller: Caller {
            member: shared(&request.member_id),
            instance: request.group_instance_id.as_deref().map(shared),
            generation: request.generation_id,
        },
        protocol_type: request.protocol_type.as_deref().map(shared),
        protocol: request.protocol_name.as_deref().map(shared),
        // Not slices of the request: they would keep all of it.
        assignments: assignments
            .map(|one| (shared(&one.member_id), Bytes::copy_from_slice(&one.assignment)))
            .collect(),
    };
    let name: Arc<str> = shared(&request.group_id);
    let refused = |why: Refusal| SyncGroupResponse::default().with_error_code(why.code());
    match context.coordinator.sync(&name, &sync).await {
        Answer::Synced { protocol_type, protocol, assignment } => {
            let response = SyncGroupResponse::default().with_assignment(assignment);
            match call.version {
                5.. => response
                    .with_protocol_type(Some(spoken(&protocol_type)))
                    .with_protocol_name(Some(spoken(&protocol))),
                _ => response,
            }
        }
        Answer::Refused(why) => refused(why),
        Answer::Joined(_) | Answer::ComeBack(_) | Answer::Done => refused(Refusal::InvalidRequest),
    }
}
