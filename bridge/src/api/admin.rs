//! From a request that looks at the broker, or would change it, to its handler.

use bytes::Bytes;
use kafka_protocol::messages::{ApiKey, DescribeAclsRequest, DescribeClusterRequest};

use super::reply::reply;
use super::{
    create_partitions, create_topics, delete_records, delete_topics, denied, describe_acls,
    describe_cluster, describe_configs, describe_log_dirs, describe_producers,
    describe_topic_partitions, describe_transactions, incremental_alter_configs, list_transactions,
};
use crate::context::{Call, Context};
use crate::wire::{Answer, Refusal};

/// Is it one of these?
pub(super) fn serves(key: ApiKey) -> bool {
    matches!(
        key,
        ApiKey::CreatePartitions
            | ApiKey::CreateTopics
            | ApiKey::DeleteRecords
            | ApiKey::DeleteTopics
            | ApiKey::DescribeAcls
            | ApiKey::DescribeCluster
            | ApiKey::DescribeConfigs
            | ApiKey::DescribeLogDirs
            | ApiKey::DescribeProducers
            | ApiKey::DescribeTopicPartitions
            | ApiKey::DescribeTransactions
            | ApiKey::IncrementalAlterConfigs
            | ApiKey::ListTransactions
    )
}

/// Answers it.
pub(super) async fn answer(
    context: &Context,
    call: &Call,
    key: ApiKey,
    body: &Bytes,
) -> Result<Answer, Refusal> {
    if let Some(denied) = denied::answer(context, call, key, body)? {
        return Ok(denied);
    }
    match key {
        ApiKey::CreatePartitions => {
            reply(call, body, async |request| create_partitions::answer(context, &request)).await
        }
        ApiKey::CreateTopics => {
            reply(call, body, async |request| create_topics::answer(context, &request)).await
        }
        ApiKey::DeleteRecords => {
            reply(call, body, async |request| delete_records::answer(context, &request).await).await
        }
        ApiKey::DeleteTopics => {
            reply(call, body, async |request| delete_topics::answer(context, call, &request)).await
        }
        ApiKey::DescribeAcls => {
            reply(call, body, async |_: DescribeAclsRequest| {
                describe_acls::answer(context.permit(call).has_rules())
            })
            .await
        }
        ApiKey::DescribeCluster => {
            let answer = async |_: DescribeClusterRequest| describe_cluster::answer(context, call);
            reply(call, body, answer).await
        }
        ApiKey::DescribeConfigs => {
            let answer = async |request| describe_configs::answer(context, call, &request);
            reply(call, body, answer).await
        }
        ApiKey::DescribeLogDirs => {
            let answer = async |request| describe_log_dirs::answer(context, call, &request);
            reply(call, body, answer).await
        }
        ApiKey::DescribeProducers => {
            reply(call, body, async |request| describe_producers::answer(context, call, &request))
                .await
        }
        ApiKey::DescribeTransactions => {
            let answer = async |request| describe_transactions::answer(context, call, &request);
            reply(call, body, answer).await
        }
        ApiKey::ListTransactions => {
            reply(call, body, async |request| list_transactions::answer(context, call, &request))
                .await
        }
        ApiKey::DescribeTopicPartitions => {
            let answer = async |request| describe_topic_partitions::answer(context, call, &request);
            reply(call, body, answer).await
        }
        ApiKey::IncrementalAlterConfigs => {
            reply(call, body, async |request| incremental_alter_configs::answer(&request)).await
        }
        _ => Err(Refusal::UnknownApi),
    }
}
