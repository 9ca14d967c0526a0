//! LeaveGroup: members go, by their own wish or by that of whoever looks after them.

use std::sync::Arc;

use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::leave_group_response::MemberResponse;
use kafka_protocol::messages::{LeaveGroupRequest, LeaveGroupResponse};

use crate::context::{Call, Context};
use crate::text::shared;

/// Who is out, and who was not in.
pub(super) fn answer(
    context: &Context,
    call: &Call,
    request: &LeaveGroupRequest,
) -> LeaveGroupResponse {
    if let Err(error) = context.permit(call).group(&request.group_id) {
        return LeaveGroupResponse::default().with_error_code(error.code());
    }
    let name: Arc<str> = shared(&request.group_id);
    let leave = |member: &Arc<str>, instance: Option<&Arc<str>>| {
        let left =
            context.coordinator.change(|groups, now| groups.leave(&name, member, instance, now));
        left.err().map_or(0, |why| why.code())
    };
    if call.version < 3 {
        let error = leave(&shared(&request.member_id), None);
        return LeaveGroupResponse::default().with_error_code(error);
    }
    let member = |one: &MemberIdentity| {
        let instance = one.group_instance_id.as_deref().map(shared);
        MemberResponse::default()
            .with_member_id(one.member_id.clone())
            .with_group_instance_id(one.group_instance_id.clone())
            .with_error_code(leave(&shared(&one.member_id), instance.as_ref()))
    };
    LeaveGroupResponse::default().with_members(request.members.iter().map(member).collect())
}
