//! ListGroups: all groups, with state and kind.

use std::sync::Arc;

use kafka_protocol::messages::list_groups_response::ListedGroup;
use kafka_protocol::messages::{GroupId, ListGroupsRequest, ListGroupsResponse};
use kafka_protocol::protocol::StrBytes;

use crate::context::{Call, Context};
use crate::groups::Described;
use crate::text::spoken;

/// All, or those in the states and of the kinds that are asked for.
pub(super) fn answer(
    context: &Context,
    call: &Call,
    request: &ListGroupsRequest,
) -> ListGroupsResponse {
    let is_wanted = |group: &Described| {
        let states = &request.states_filter;
        let kinds = &request.types_filter;
        let is_among = |names: &[StrBytes], name| {
            names.is_empty() || names.iter().any(|it| it.eq_ignore_ascii_case(name))
        };
        is_among(states, group.phase.name()) && is_among(kinds, group.kind)
    };
    let mut groups = context.coordinator.look(|groups| {
        let names: Vec<&Arc<str>> = groups.names().collect();
        names.into_iter().filter_map(|name| groups.summary(name)).collect::<Vec<_>>()
    });
    let permit = context.permit(call);
    groups.retain(|group| is_wanted(group) && permit.group(&group.name).is_ok());
    groups.sort_unstable_by(|one, other| one.name.cmp(&other.name));
    let listed = |group: &Described| {
        let listed = ListedGroup::default()
            .with_group_id(GroupId(spoken(&group.name)))
            .with_protocol_type(spoken(&group.protocol_type));
        let state = StrBytes::from_static_str(group.phase.name());
        match call.version {
            5.. => listed
                .with_group_state(state)
                .with_group_type(StrBytes::from_static_str(group.kind)),
            4 => listed.with_group_state(state),
            _ => listed,
        }
    };
    ListGroupsResponse::default().with_groups(groups.iter().map(listed).collect())
}
