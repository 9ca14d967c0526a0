//! What a client hears that asks for the work of an administrator and may not do it: all of its
//! request is refused. Answers nothing that is allowed.

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::create_partitions_response::CreatePartitionsTopicResult;
use kafka_protocol::messages::create_topics_response::CreatableTopicResult;
use kafka_protocol::messages::delete_records_request::DeleteRecordsTopic;
use kafka_protocol::messages::delete_records_response::{
    DeleteRecordsPartitionResult, DeleteRecordsTopicResult,
};
use kafka_protocol::messages::delete_topics_response::DeletableTopicResult;
use kafka_protocol::messages::describe_configs_response::DescribeConfigsResult;
use kafka_protocol::messages::incremental_alter_configs_response::AlterConfigsResourceResponse;
use kafka_protocol::messages::{
    ApiKey, CreatePartitionsRequest, CreatePartitionsResponse, CreateTopicsRequest,
    CreateTopicsResponse, DeleteRecordsRequest, DeleteRecordsResponse, DeleteTopicsRequest,
    DeleteTopicsResponse, DescribeAclsResponse, DescribeConfigsRequest, DescribeConfigsResponse,
    DescribeLogDirsResponse, IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse,
};

use super::reply::decode;
use crate::context::{Call, Context};
use crate::permit::Permit;
use crate::text::spoken;
use crate::wire::{Answer, Refusal};

/// Kafka's number of a topic, among what has settings.
const TOPIC: i8 = 2;
/// The first version of DescribeLogDirs that can say why there is nothing.
const WHY_SINCE: i16 = 3;

/// Why it is refused.
type Denied = Result<(), ResponseError>;

/// `None`: it is allowed.
pub(super) fn answer(
    context: &Context,
    call: &Call,
    key: ApiKey,
    body: &Bytes,
) -> Result<Option<Answer>, Refusal> {
    let permit = context.permit(call);
    if !permit.has_rules() {
        return Ok(None);
    }
    let of = (context, call, &*permit);
    match key {
        ApiKey::CreateTopics => create_topics(of, &decode(call, body)?),
        ApiKey::CreatePartitions => create_partitions(of, &decode(call, body)?),
        ApiKey::DeleteTopics => delete_topics(of, &decode(call, body)?),
        ApiKey::DeleteRecords => delete_records(of, &decode(call, body)?),
        ApiKey::DescribeConfigs => describe_configs(of, &decode(call, body)?),
        ApiKey::IncrementalAlterConfigs => alter_configs(of, &decode(call, body)?),
        ApiKey::DescribeLogDirs => told(permit.admin_all(), call, |code| {
            let answer = DescribeLogDirsResponse::default();
            if call.version >= WHY_SINCE { answer.with_error_code(code) } else { answer }
        }),
        ApiKey::DescribeAcls => told(permit.admin_all(), call, |code| {
            DescribeAclsResponse::default().with_error_code(code)
        }),
        // They show to each client what it may see.
        ApiKey::DescribeCluster
        | ApiKey::DescribeProducers
        | ApiKey::DescribeTopicPartitions
        | ApiKey::DescribeTransactions
        | ApiKey::ListTransactions => Ok(None),
        // Nothing is let through because nobody thought of it here.
        _ => Err(Refusal::UnknownApi),
    }
}

/// Who asks, where.
type Of<'a> = (&'a Context, &'a Call, &'a Permit);

fn told<M>(
    denied: Denied,
    call: &Call,
    refuse: impl FnOnce(i16) -> M,
) -> Result<Option<Answer>, Refusal>
where
    M: kafka_protocol::protocol::Encodable + kafka_protocol::protocol::HeaderVersion,
{
    match denied {
        Ok(()) => Ok(None),
        Err(error) => Answer::of(&refuse(error.code()), call.version, call.correlation).map(Some),
    }
}

fn create_topics(of: Of<'_>, request: &CreateTopicsRequest) -> Result<Option<Answer>, Refusal> {
    let (_, call, permit) = of;
    let denied = request.topics.iter().try_for_each(|topic| permit.admin(&topic.name));
    told(denied, call, |code| {
        let one = |name: &_| CreatableTopicResult::default().with_name(Clone::clone(name));
        let all = request.topics.iter().map(|topic| one(&topic.name).with_error_code(code));
        CreateTopicsResponse::default().with_topics(all.collect())
    })
}

fn create_partitions(
    of: Of<'_>,
    request: &CreatePartitionsRequest,
) -> Result<Option<Answer>, Refusal> {
    let (_, call, permit) = of;
    let denied = request.topics.iter().try_for_each(|topic| permit.admin(&topic.name));
    told(denied, call, |code| {
        let all = request.topics.iter().map(|topic| {
            let result = CreatePartitionsTopicResult::default().with_name(topic.name.clone());
            result.with_error_code(code)
        });
        CreatePartitionsResponse::default().with_results(all.collect())
    })
}

/// By name, or by id in later versions.
fn delete_topics(of: Of<'_>, request: &DeleteTopicsRequest) -> Result<Option<Answer>, Refusal> {
    let (context, call, permit) = of;
    let streams = context.topics();
    let of_state = |topic: &kafka_protocol::messages::delete_topics_request::DeleteTopicState| {
        let by_id = || streams.with_id(topic.topic_id).map(|(stream, _)| stream.name.clone());
        topic.name.as_ref().map(|name| name.0.to_string()).or_else(by_id).unwrap_or_default()
    };
    let named = request.topic_names.iter().map(|name| name.0.to_string());
    let mut names = named.chain(request.topics.iter().map(of_state));
    let denied = names.try_for_each(|name| permit.admin(&name));
    told(denied, call, |code| {
        let refused = DeletableTopicResult::default().with_error_code(code);
        let named = request.topic_names.iter();
        let named = named.map(|name| refused.clone().with_name(Some(name.clone())));
        let states = request.topics.iter().map(|topic| {
            let result = refused.clone().with_name(topic.name.clone());
            if call.version >= 6 { result.with_topic_id(topic.topic_id) } else { result }
        });
        DeleteTopicsResponse::default().with_responses(named.chain(states).collect())
    })
}

fn delete_records(of: Of<'_>, request: &DeleteRecordsRequest) -> Result<Option<Answer>, Refusal> {
    let (_, call, permit) = of;
    let denied = request.topics.iter().try_for_each(|topic| permit.admin(&topic.name));
    told(denied, call, |code| {
        let topic = |topic: &DeleteRecordsTopic| {
            let partitions = topic.partitions.iter().map(|partition| {
                DeleteRecordsPartitionResult::default()
                    .with_partition_index(partition.partition_index)
                    .with_low_watermark(-1)
                    .with_error_code(code)
            });
            DeleteRecordsTopicResult::default()
                .with_name(topic.name.clone())
                .with_partitions(partitions.collect())
        };
        DeleteRecordsResponse::default().with_topics(request.topics.iter().map(topic).collect())
    })
}

/// Who sees a stream may see how it is made.
fn describe_configs(
    of: Of<'_>,
    request: &DescribeConfigsRequest,
) -> Result<Option<Answer>, Refusal> {
    let (context, call, permit) = of;
    let streams = context.topics();
    let denied = request.resources.iter().try_for_each(|resource| {
        if resource.resource_type != TOPIC {
            return permit.admin_all();
        }
        let seen = streams.named(&resource.resource_name);
        let is_seen = seen.is_some_and(|(stream, _)| permit.sees(stream));
        if is_seen { Ok(()) } else { permit.admin(&resource.resource_name) }
    });
    told(denied, call, |code| {
        let all = request.resources.iter().map(|resource| {
            DescribeConfigsResult::default()
                .with_resource_type(resource.resource_type)
                .with_resource_name(resource.resource_name.clone())
                .with_error_code(code)
        });
        DescribeConfigsResponse::default().with_results(all.collect())
    })
}

fn alter_configs(
    of: Of<'_>,
    request: &IncrementalAlterConfigsRequest,
) -> Result<Option<Answer>, Refusal> {
    let (_, call, permit) = of;
    let denied = request.resources.iter().try_for_each(|resource| match resource.resource_type {
        TOPIC => permit.admin(&resource.resource_name),
        _ => permit.admin_all(),
    });
    told(denied, call, |code| {
        let all = request.resources.iter().map(|resource| {
            AlterConfigsResourceResponse::default()
                .with_resource_type(resource.resource_type)
                .with_resource_name(resource.resource_name.clone())
                .with_error_message(Some(spoken("it needs the right kafka-admin")))
                .with_error_code(code)
        });
        IncrementalAlterConfigsResponse::default().with_responses(all.collect())
    })
}
