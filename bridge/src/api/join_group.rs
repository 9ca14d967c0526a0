//! JoinGroup: waits until the members agree.

use std::sync::Arc;

use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::join_group_response::JoinGroupResponseMember;
use kafka_protocol::messages::{JoinGroupRequest, JoinGroupResponse};
use kafka_protocol::protocol::StrBytes;

use crate::context::{Call, Context};
use crate::groups::{Answer, Join, Joined, Listed, Protocol, Refusal};
use crate::member_id::member_id;
use crate::text::{shared, spoken};

/// Kafka's "join again with this id".
const MEMBER_ID_REQUIRED: i16 = 79;
/// No agreement.
const NO_GENERATION: i32 = -1;

/// Joins a group.
pub(super) async fn answer(
    context: &Context,
    call: &Call,
    request: JoinGroupRequest,
) -> JoinGroupResponse {
    let member = request.member_id.clone();
    if let Err(error) = context.permit(call).group(&request.group_id) {
        return refused(call, member, error.code());
    }
    let Some(join) = join(call, &request) else {
        return refused(call, member, Refusal::NotStored.code());
    };
    let name: Arc<str> = shared(&request.group_id);
    match context.coordinator.join(&name, &join).await {
        Answer::Joined(joined) => agreed(call, joined),
        Answer::ComeBack(id) => refused(call, spoken(&id), MEMBER_ID_REQUIRED),
        Answer::Refused(why) => refused(call, member, why.code()),
        Answer::Synced { .. } | Answer::Done => {
            refused(call, member, Refusal::InvalidRequest.code())
        }
    }
}

/// `None` if the system has no random numbers for an id.
fn join(call: &Call, request: &JoinGroupRequest) -> Option<Join> {
    let protocol = |one: &JoinGroupRequestProtocol| {
        // Not a slice of the request: that would keep all of it for as long as the member is in.
        let metadata = bytes::Bytes::copy_from_slice(&one.metadata);
        Protocol { name: shared(&one.name), metadata }
    };
    Some(Join {
        member: shared(&request.member_id),
        instance: request.group_instance_id.as_deref().map(shared),
        client_id: call.client_id.as_str().into(),
        host: format!("/{}", call.peer.ip().to_canonical()).into(),
        session_ms: request.session_timeout_ms,
        rebalance_ms: (call.version >= 1).then_some(request.rebalance_timeout_ms),
        protocol_type: shared(&request.protocol_type),
        protocols: request.protocols.iter().map(protocol).collect(),
        comes_back: call.version >= 4,
        may_skip: call.version >= 9,
        fresh: member_id(&call.client_id)?,
    })
}

fn agreed(call: &Call, joined: Joined) -> JoinGroupResponse {
    let member = |listed: Listed| {
        let member = JoinGroupResponseMember::default()
            .with_member_id(spoken(&listed.member))
            .with_metadata(listed.metadata);
        match call.version {
            5.. => member.with_group_instance_id(listed.instance.as_deref().map(spoken)),
            _ => member,
        }
    };
    let response = JoinGroupResponse::default()
        .with_generation_id(joined.generation)
        .with_protocol_name(Some(spoken(&joined.protocol)))
        .with_leader(spoken(&joined.leader))
        .with_member_id(spoken(&joined.member))
        .with_members(joined.members.into_iter().map(member).collect());
    match call.version {
        9.. => response
            .with_protocol_type(Some(spoken(&joined.protocol_type)))
            .with_skip_assignment(joined.skips),
        7.. => response.with_protocol_type(Some(spoken(&joined.protocol_type))),
        _ => response,
    }
}

fn refused(call: &Call, member: StrBytes, code: i16) -> JoinGroupResponse {
    // Only version 7 and later know how to say that there is none.
    let protocol = (call.version < 7).then(StrBytes::default);
    JoinGroupResponse::default()
        .with_error_code(code)
        .with_generation_id(NO_GENERATION)
        .with_protocol_name(protocol)
        .with_member_id(member)
}
