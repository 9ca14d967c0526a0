//! DescribeCluster: the one node there is.

use kafka_protocol::messages::describe_cluster_response::DescribeClusterBroker;
use kafka_protocol::messages::{BrokerId, DescribeClusterResponse};
use kafka_protocol::protocol::StrBytes;

use crate::context::{Call, Context, NODE_ID};
use crate::names::UNKNOWN_OPERATIONS;

/// Brokers, not controllers, whoever is asked for: they are the same.
pub(super) fn answer(context: &Context, call: &Call) -> DescribeClusterResponse {
    let (host, port) = context.address(call);
    let broker = DescribeClusterBroker::default()
        .with_broker_id(BrokerId(NODE_ID))
        .with_host(StrBytes::from_string(host))
        .with_port(port.into());
    DescribeClusterResponse::default()
        .with_cluster_id(StrBytes::from_string(context.cluster_id.clone()))
        .with_controller_id(BrokerId(NODE_ID))
        .with_brokers(vec![broker])
        .with_cluster_authorized_operations(UNKNOWN_OPERATIONS)
}
