//! Which APIs we serve, in which versions: the one table that ApiVersions answers from, that the
//! guard looks shapes up in, and that requests are held against.

use kafka_protocol::messages::ApiKey;

use crate::guard::{Shape, admin, data, groups};

/// One API that we serve.
#[derive(Debug)]
pub(crate) struct Api {
    pub(crate) key: ApiKey,
    /// The versions that we say we serve.
    pub(crate) advertised: (i16, i16),
    /// The lowest that we do serve.
    pub(crate) lowest: i16,
    pub(crate) shape: &'static Shape,
}

impl Api {
    const fn new(key: ApiKey, lowest: i16, highest: i16, shape: &'static Shape) -> Self {
        Self { key, advertised: (lowest, highest), lowest, shape }
    }

    /// Is it a version that we serve?
    pub(crate) fn serves(&self, version: i16) -> bool {
        (self.lowest..=self.advertised.1).contains(&version)
    }

    /// Are lengths compact, and fields tagged?
    pub(crate) fn is_flexible(&self, version: i16) -> bool {
        version >= self.shape.flexible_since
    }
}

/// All that we serve, by key.
pub(crate) static APIS: &[Api] = &[
    // Old librdkafka compresses only where it sees 0, and never sends it.
    Api { lowest: 3, ..Api::new(ApiKey::Produce, 0, 13, &data::PRODUCE) },
    Api::new(ApiKey::Fetch, 4, 17, &data::FETCH),
    Api::new(ApiKey::ListOffsets, 1, 10, &data::LIST_OFFSETS),
    Api::new(ApiKey::Metadata, 0, 13, &data::METADATA),
    Api::new(ApiKey::OffsetCommit, 2, 9, &groups::OFFSET_COMMIT),
    Api::new(ApiKey::OffsetFetch, 1, 9, &groups::OFFSET_FETCH),
    Api::new(ApiKey::FindCoordinator, 0, 6, &groups::FIND_COORDINATOR),
    Api::new(ApiKey::JoinGroup, 0, 9, &groups::JOIN_GROUP),
    Api::new(ApiKey::Heartbeat, 0, 4, &groups::HEARTBEAT),
    Api::new(ApiKey::LeaveGroup, 0, 5, &groups::LEAVE_GROUP),
    Api::new(ApiKey::SyncGroup, 0, 5, &groups::SYNC_GROUP),
    Api::new(ApiKey::DescribeGroups, 0, 6, &groups::DESCRIBE_GROUPS),
    Api::new(ApiKey::ListGroups, 0, 5, &groups::LIST_GROUPS),
    Api::new(ApiKey::SaslHandshake, 0, 1, &data::SASL_HANDSHAKE),
    Api::new(ApiKey::ApiVersions, 0, 4, &data::API_VERSIONS),
    Api::new(ApiKey::CreateTopics, 2, 7, &admin::CREATE_TOPICS),
    Api::new(ApiKey::DeleteTopics, 1, 6, &admin::DELETE_TOPICS),
    Api::new(ApiKey::DeleteRecords, 0, 2, &admin::DELETE_RECORDS),
    Api::new(ApiKey::InitProducerId, 0, 5, &data::INIT_PRODUCER_ID),
    Api::new(ApiKey::OffsetForLeaderEpoch, 2, 4, &data::OFFSET_FOR_LEADER_EPOCH),
    Api::new(ApiKey::AddPartitionsToTxn, 0, 5, &groups::ADD_PARTITIONS_TO_TXN),
    Api::new(ApiKey::AddOffsetsToTxn, 0, 4, &groups::ADD_OFFSETS_TO_TXN),
    // Their version 5 is for clusters that give a new epoch with every transaction.
    Api::new(ApiKey::EndTxn, 0, 4, &groups::END_TXN),
    Api::new(ApiKey::TxnOffsetCommit, 0, 4, &groups::TXN_OFFSET_COMMIT),
    Api::new(ApiKey::DescribeAcls, 1, 3, &admin::DESCRIBE_ACLS),
    Api::new(ApiKey::DescribeConfigs, 1, 4, &admin::DESCRIBE_CONFIGS),
    Api::new(ApiKey::DescribeLogDirs, 1, 4, &admin::DESCRIBE_LOG_DIRS),
    Api::new(ApiKey::SaslAuthenticate, 0, 2, &data::SASL_AUTHENTICATE),
    Api::new(ApiKey::CreatePartitions, 0, 3, &admin::CREATE_PARTITIONS),
    Api::new(ApiKey::DeleteGroups, 0, 2, &groups::DELETE_GROUPS),
    Api::new(ApiKey::IncrementalAlterConfigs, 0, 1, &admin::INCREMENTAL_ALTER_CONFIGS),
    Api::new(ApiKey::OffsetDelete, 0, 0, &groups::OFFSET_DELETE),
    Api::new(ApiKey::DescribeCluster, 0, 2, &admin::DESCRIBE_CLUSTER),
    Api::new(ApiKey::DescribeProducers, 0, 0, &admin::DESCRIBE_PRODUCERS),
    Api::new(ApiKey::DescribeTransactions, 0, 0, &admin::DESCRIBE_TRANSACTIONS),
    // Their version 2 asks for ids by a pattern.
    Api::new(ApiKey::ListTransactions, 0, 1, &admin::LIST_TRANSACTIONS),
    Api::new(ApiKey::ConsumerGroupHeartbeat, 0, 1, &groups::CONSUMER_GROUP_HEARTBEAT),
    Api::new(ApiKey::ConsumerGroupDescribe, 0, 1, &groups::CONSUMER_GROUP_DESCRIBE),
    Api::new(ApiKey::DescribeTopicPartitions, 0, 0, &admin::DESCRIBE_TOPIC_PARTITIONS),
];

/// The API with this number.
pub(crate) fn find(key: i16) -> Option<&'static Api> {
    APIS.iter().find(|api| api.key as i16 == key)
}
