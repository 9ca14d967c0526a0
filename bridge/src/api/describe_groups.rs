//! DescribeGroups: who is in a group, and what each reads.

use kafka_protocol::messages::describe_groups_response::{DescribedGroup, DescribedGroupMember};
use kafka_protocol::messages::{DescribeGroupsRequest, DescribeGroupsResponse, GroupId};
use kafka_protocol::protocol::StrBytes;

use super::asked::{self, GROUP_BYTES, MEMBER_BYTES, TOO_MUCH};
use crate::context::{Call, Context};
use crate::groups::{DescribedMember, Refusal};
use crate::room::{NoRoom, Room};
use crate::text::spoken;

/// How Kafka calls a group that is not there.
const DEAD: &str = "Dead";

/// Each group that is asked for.
pub(super) fn answer(
    context: &Context,
    call: &Call,
    request: &DescribeGroupsRequest,
) -> DescribeGroupsResponse {
    let mut room = asked::room();
    let describe = |name: &GroupId| group(context, call, name, &mut room);
    let names = asked::once(&request.groups, |name| name);
    DescribeGroupsResponse::default().with_groups(names.map(describe).collect())
}

fn group(context: &Context, call: &Call, name: &GroupId, room: &mut Room) -> DescribedGroup {
    let described = DescribedGroup::default().with_group_id(name.clone());
    if let Err(error) = context.permit(call).group(name) {
        return described.with_error_code(error.code());
    }
    let Some(group) = context.coordinator.look(|groups| groups.describe(name)) else {
        let dead = described.with_group_state(StrBytes::from_static_str(DEAD));
        // Older clients take a group that is dead for an answer, newer ones want the error.
        return match call.version {
            6.. => {
                let message = StrBytes::from_string(Refusal::UnknownGroup.to_string());
                dead.with_error_code(Refusal::UnknownGroup.code()).with_error_message(Some(message))
            }
            _ => dead,
        };
    };
    let bytes = group.members.iter().map(bytes_of).sum::<usize>();
    if let Err(NoRoom) = room.take(GROUP_BYTES + bytes) {
        let refused = described.with_error_code(Refusal::InvalidRequest.code());
        let message = (call.version >= 6).then(|| StrBytes::from_static_str(TOO_MUCH));
        return refused.with_error_message(message);
    }
    let member = |member: DescribedMember| {
        let described = DescribedGroupMember::default()
            .with_member_id(spoken(&member.id))
            .with_client_id(spoken(&member.client_id))
            .with_client_host(spoken(&member.host))
            .with_member_metadata(member.metadata)
            .with_member_assignment(member.assignment);
        match call.version {
            4.. => described.with_group_instance_id(member.instance.as_deref().map(spoken)),
            _ => described,
        }
    };
    described
        .with_group_state(StrBytes::from_static_str(group.phase.name()))
        .with_protocol_type(spoken(&group.protocol_type))
        .with_protocol_data(spoken(&group.protocol))
        .with_members(group.members.into_iter().map(member).collect())
}

fn bytes_of(member: &DescribedMember) -> usize {
    let names = member.id.len() + member.client_id.len() + member.host.len();
    MEMBER_BYTES + names + member.metadata.len() + member.assignment.len()
}
