//! FindCoordinator: it is always this node.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::find_coordinator_response::Coordinator;
use kafka_protocol::messages::{BrokerId, FindCoordinatorRequest, FindCoordinatorResponse};
use kafka_protocol::protocol::StrBytes;

use super::asked::once;
use crate::context::{Call, Context, NODE_ID};

/// What a key may name: a group, or the id of transactions.
const GROUP: i8 = 0;
const TRANSACTIONS: i8 = 1;

/// Where the groups of these names are coordinated.
pub(super) fn answer(
    context: &Context,
    call: &Call,
    request: &FindCoordinatorRequest,
) -> FindCoordinatorResponse {
    let (host, port) = context.address(call);
    let host = StrBytes::from_string(host);
    let permit = context.permit(call);
    let error = |key: &str| {
        let may = match request.key_type {
            GROUP => permit.group(key),
            TRANSACTIONS => permit.transaction(key),
            _ => Err(ResponseError::InvalidRequest),
        };
        may.map_or_else(|error| error.code(), |()| 0)
    };
    if call.version < 4 {
        return FindCoordinatorResponse::default()
            .with_error_code(error(&request.key))
            .with_node_id(BrokerId(NODE_ID))
            .with_host(host)
            .with_port(port.into());
    }
    let coordinator = |key: &StrBytes| {
        Coordinator::default()
            .with_key(key.clone())
            .with_error_code(error(key))
            .with_node_id(BrokerId(NODE_ID))
            .with_host(host.clone())
            .with_port(port.into())
    };
    FindCoordinatorResponse::default()
        .with_coordinators(once(&request.coordinator_keys, |key| key).map(coordinator).collect())
}
