//! The decoder of each API, for tests: reads a request and says what it left.

use bytes::Bytes;
use kafka_protocol::messages::{
    ApiKey, ApiVersionsRequest, DeleteGroupsRequest, DescribeGroupsRequest, FindCoordinatorRequest,
    HeartbeatRequest, JoinGroupRequest, LeaveGroupRequest, ListGroupsRequest, MetadataRequest,
    OffsetCommitRequest, OffsetDeleteRequest, OffsetFetchRequest, SyncGroupRequest,
};
use kafka_protocol::protocol::Decodable;

/// How many bytes are left behind the request.
pub(super) fn decode(key: ApiKey, version: i16, body: Bytes) -> Result<usize, String> {
    match key {
        ApiKey::Metadata => left::<MetadataRequest>(version, body),
        ApiKey::ApiVersions => left::<ApiVersionsRequest>(version, body),
        ApiKey::OffsetCommit => left::<OffsetCommitRequest>(version, body),
        ApiKey::OffsetFetch => left::<OffsetFetchRequest>(version, body),
        ApiKey::FindCoordinator => left::<FindCoordinatorRequest>(version, body),
        ApiKey::JoinGroup => left::<JoinGroupRequest>(version, body),
        ApiKey::Heartbeat => left::<HeartbeatRequest>(version, body),
        ApiKey::LeaveGroup => left::<LeaveGroupRequest>(version, body),
        ApiKey::SyncGroup => left::<SyncGroupRequest>(version, body),
        ApiKey::DescribeGroups => left::<DescribeGroupsRequest>(version, body),
        ApiKey::ListGroups => left::<ListGroupsRequest>(version, body),
        ApiKey::DeleteGroups => left::<DeleteGroupsRequest>(version, body),
        ApiKey::OffsetDelete => left::<OffsetDeleteRequest>(version, body),
        other => Err(format!("name the decoder of {other:?} here")),
    }
}

fn left<Q: Decodable>(version: i16, mut body: Bytes) -> Result<usize, String> {
    Q::decode(&mut body, version).map_err(|error| error.to_string())?;
    Ok(body.len())
}
