//! DescribeGroups: who is in a group, and what each reads.

use kafka_protocol::messages::describe_groups_response::{DescribedGroup, DescribedGroupMember};
use kafka_protocol::messages::{DescribeGroupsRequest, DescribeGroupsResponse, GroupId};
use kafka_protocol::protocol::StrBytes;

use crate::context::{Call, Context};
use crate::groups::{DescribedMember, Refusal};
use crate::text::spoken;

/// How Kafka calls a group that is not there.
const DEAD: &str = "Dead";

/// Each group that is asked for.
pub(super) fn answer(
    context: &Context,
    call: &Call,
    request: &DescribeGroupsRequest,
) -> DescribeGroupsResponse {
    let describe = |name: &GroupId| group(context, call, name);
    DescribeGroupsResponse::default().with_groups(request.groups.iter().map(describe).collect())
}

fn group(context: &Context, call: &Call, name: &GroupId) -> DescribedGroup {
    let described = DescribedGroup::default().with_group_id(name.clone());
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
