//! The decoder of each API, for tests: reads a request and says what it left.

use bytes::Bytes;
use kafka_protocol::messages::{
    AddOffsetsToTxnRequest, AddPartitionsToTxnRequest, ApiKey, ApiVersionsRequest,
    ConsumerGroupDescribeRequest, ConsumerGroupHeartbeatRequest, CreatePartitionsRequest,
    CreateTopicsRequest, DeleteGroupsRequest, DeleteRecordsRequest, DeleteTopicsRequest,
    DescribeAclsRequest, DescribeClusterRequest, DescribeConfigsRequest, DescribeGroupsRequest,
    DescribeLogDirsRequest, DescribeProducersRequest, DescribeTopicPartitionsRequest,
    DescribeTransactionsRequest, EndTxnRequest, FetchRequest, FindCoordinatorRequest,
    HeartbeatRequest, IncrementalAlterConfigsRequest, InitProducerIdRequest, JoinGroupRequest,
    LeaveGroupRequest, ListGroupsRequest, ListOffsetsRequest, ListTransactionsRequest,
    MetadataRequest, OffsetCommitRequest, OffsetDeleteRequest, OffsetFetchRequest,
    OffsetForLeaderEpochRequest, ProduceRequest, SaslAuthenticateRequest, SaslHandshakeRequest,
    SyncGroupRequest, TxnOffsetCommitRequest,
};
use kafka_protocol::protocol::Decodable;

/// How many bytes are left behind the request.
pub(super) fn decode(key: ApiKey, version: i16, body: Bytes) -> Result<usize, String> {
    match key {
        ApiKey::Produce => left::<ProduceRequest>(version, body),
        ApiKey::Fetch => left::<FetchRequest>(version, body),
        ApiKey::ListOffsets => left::<ListOffsetsRequest>(version, body),
        ApiKey::Metadata => left::<MetadataRequest>(version, body),
        ApiKey::OffsetCommit => left::<OffsetCommitRequest>(version, body),
        ApiKey::OffsetFetch => left::<OffsetFetchRequest>(version, body),
        ApiKey::FindCoordinator => left::<FindCoordinatorRequest>(version, body),
        ApiKey::JoinGroup => left::<JoinGroupRequest>(version, body),
        ApiKey::Heartbeat => left::<HeartbeatRequest>(version, body),
        ApiKey::LeaveGroup => left::<LeaveGroupRequest>(version, body),
        ApiKey::SyncGroup => left::<SyncGroupRequest>(version, body),
        ApiKey::DescribeGroups => left::<DescribeGroupsRequest>(version, body),
        ApiKey::ListGroups => left::<ListGroupsRequest>(version, body),
        ApiKey::SaslHandshake => left::<SaslHandshakeRequest>(version, body),
        ApiKey::SaslAuthenticate => left::<SaslAuthenticateRequest>(version, body),
        ApiKey::ApiVersions => left::<ApiVersionsRequest>(version, body),
        ApiKey::CreateTopics => left::<CreateTopicsRequest>(version, body),
        ApiKey::DeleteTopics => left::<DeleteTopicsRequest>(version, body),
        ApiKey::DeleteRecords => left::<DeleteRecordsRequest>(version, body),
        ApiKey::InitProducerId => left::<InitProducerIdRequest>(version, body),
        ApiKey::OffsetForLeaderEpoch => left::<OffsetForLeaderEpochRequest>(version, body),
        ApiKey::DescribeAcls => left::<DescribeAclsRequest>(version, body),
        ApiKey::DescribeConfigs => left::<DescribeConfigsRequest>(version, body),
        ApiKey::DescribeLogDirs => left::<DescribeLogDirsRequest>(version, body),
        ApiKey::DescribeTopicPartitions => left::<DescribeTopicPartitionsRequest>(version, body),
        ApiKey::CreatePartitions => left::<CreatePartitionsRequest>(version, body),
        ApiKey::DeleteGroups => left::<DeleteGroupsRequest>(version, body),
        ApiKey::IncrementalAlterConfigs => left::<IncrementalAlterConfigsRequest>(version, body),
        ApiKey::ConsumerGroupHeartbeat => left::<ConsumerGroupHeartbeatRequest>(version, body),
        ApiKey::ConsumerGroupDescribe => left::<ConsumerGroupDescribeRequest>(version, body),
        ApiKey::OffsetDelete => left::<OffsetDeleteRequest>(version, body),
        ApiKey::DescribeCluster => left::<DescribeClusterRequest>(version, body),
        ApiKey::AddOffsetsToTxn => left::<AddOffsetsToTxnRequest>(version, body),
        ApiKey::AddPartitionsToTxn => left::<AddPartitionsToTxnRequest>(version, body),
        ApiKey::EndTxn => left::<EndTxnRequest>(version, body),
        ApiKey::TxnOffsetCommit => left::<TxnOffsetCommitRequest>(version, body),
        ApiKey::DescribeProducers => left::<DescribeProducersRequest>(version, body),
        ApiKey::DescribeTransactions => left::<DescribeTransactionsRequest>(version, body),
        ApiKey::ListTransactions => left::<ListTransactionsRequest>(version, body),
        other => Err(format!("name the decoder of {other:?} here")),
    }
}

fn left<Q: Decodable>(version: i16, mut body: Bytes) -> Result<usize, String> {
    Q::decode(&mut body, version).map_err(|error| error.to_string())?;
    Ok(body.len())
}
