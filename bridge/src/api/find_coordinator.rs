//! FindCoordinator: it is always this node.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::find_coordinator_response::Coordinator;
use kafka_protocol::messages::{BrokerId, FindCoordinatorRequest, FindCoordinatorResponse};
use kafka_protocol::protocol::StrBytes;

use crate::context::{Call, Context, NODE_ID};

/// What a key may name: a group, or the id of transactions.
const KINDS: [i8; 2] = [0, 1];

/// Where the groups of these names are coordinated.
pub(super) fn answer(
    context: &Context,
    call: &Call,
    request: &FindCoordinatorRequest,
) -> FindCoordinatorResponse {
    let (host, port) = context.address(call);
    let host = StrBytes::from_string(host);
    let is_known = KINDS.contains(&request.key_type);
    let error = if is_known { 0 } else { ResponseError::InvalidRequest.code() };
    if call.version < 4 {
        return FindCoordinatorResponse::default()
            .with_error_code(error)
            .with_node_id(BrokerId(NODE_ID))
            .with_host(host)
            .with_port(port.into());
    }
    let coordinator = |key: &StrBytes| {
        Coordinator::default()
            .with_key(key.clone())
            .with_error_code(error)
            .with_node_id(BrokerId(NODE_ID))
            .with_host(host.clone())
            .with_port(port.into())
    };
    FindCoordinatorResponse::default()
        .with_coordinators(request.coordinator_keys.iter().map(coordinator).collect())
}
