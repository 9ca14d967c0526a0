//! ListGroups: all groups, with state and kind.

use std::sync::Arc;

use kafka_protocol::messages::list_groups_response::ListedGroup;
use kafka_protocol::messages::{GroupId, ListGroupsRequest, ListGroupsResponse};
use kafka_protocol::protocol::StrBytes;

use crate::context::{Call, Context};
use crate::groups::Described;
use crate::text::spoken;

/// How Kafka calls groups whose members share out among themselves.
const CLASSIC: &str = "classic";

/// All, or those in the states and of the kinds that are asked for.
pub(super) fn answer(
    context: &Context,
    call: &Call,
    request: &ListGroupsRequest,
) -> ListGroupsResponse {
    let is_wanted = |group: &Described| {
        let states = &request.states_filter;
        states.is_empty() || states.iter().any(|it| it.eq_ignore_ascii_case(group.phase.name()))
    };
    let kinds = &request.types_filter;
    let is_kind = kinds.is_empty() || kinds.iter().any(|it| it.eq_ignore_ascii_case(CLASSIC));
    let mut groups = context.coordinator.look(|groups| {
        let names: Vec<&Arc<str>> = groups.names().collect();
        names.into_iter().filter_map(|name| groups.summary(name)).collect::<Vec<_>>()
    });
    groups.retain(|group| is_kind && is_wanted(group));
    groups.sort_unstable_by(|one, other| one.name.cmp(&other.name));
    let listed = |group: &Described| {
        let listed = ListedGroup::default()
            .with_group_id(GroupId(spoken(&group.name)))
            .with_protocol_type(spoken(&group.protocol_type));
        let state = StrBytes::from_static_str(group.phase.name());
        match call.version {
            5.. => {
                listed.with_group_state(state).with_group_type(StrBytes::from_static_str(CLASSIC))
            }
            4 => listed.with_group_state(state),
            _ => listed,
        }
    };
    ListGroupsResponse::default().with_groups(groups.iter().map(listed).collect())
}
