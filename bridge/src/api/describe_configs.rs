//! DescribeConfigs: what holds for a stream, in Kafka's words. Changes nothing.

use std::collections::BTreeSet;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResult,
};
use kafka_protocol::messages::{DescribeConfigsRequest, DescribeConfigsResponse};
use kafka_protocol::protocol::StrBytes;
use tidewire_store::{Compression, StreamConfig};

use crate::context::{Call, Context, NODE_ID};

const TOPIC: i8 = 2;
const BROKER: i8 = 4;

/// Set for this topic; set when the broker was started.
const OF_TOPIC: i8 = 1;
const OF_BROKER: i8 = 4;

/// Kinds of settings.
const TEXT: i8 = 2;

type Setting = (&'static str, String);

/// Answers resource by resource; who is asked for twice is answered once.
pub(super) fn answer(
    context: &Context,
    call: &Call,
    request: &DescribeConfigsRequest,
) -> DescribeConfigsResponse {
    let mut seen = BTreeSet::new();
    let resources = request.resources.iter();
    let resources = resources.filter(|it| seen.insert((it.resource_type, &it.resource_name)));
    let results = resources.map(|resource| one(context, call, resource));
    DescribeConfigsResponse::default().with_results(results.collect())
}

fn one(context: &Context, call: &Call, wanted: &DescribeConfigsResource) -> DescribeConfigsResult {
    let result = DescribeConfigsResult::default()
        .with_resource_type(wanted.resource_type)
        .with_resource_name(wanted.resource_name.clone());
    let name = wanted.resource_name.as_str();
    let (settings, source) = match wanted.resource_type {
        TOPIC => match context.topics().named(name) {
            Some((stream, _)) => (of_stream(context, &stream.config), OF_TOPIC),
            None => {
                let error = ResponseError::UnknownTopicOrPartition;
                return result.with_error_code(error.code());
            }
        },
        BROKER if name.is_empty() || name == NODE_ID.to_string() => (of_node(context), OF_BROKER),
        _ => return result.with_error_code(ResponseError::InvalidRequest.code()),
    };
    let is_asked = |(name, _): &Setting| match &wanted.configuration_keys {
        Some(keys) if !keys.is_empty() => keys.iter().any(|key| key.as_str() == *name),
        _ => true,
    };
    let settings = settings.into_iter().filter(is_asked);
    result.with_configs(settings.map(|setting| describe(call, setting, source)).collect())
}

fn describe(call: &Call, (name, value): Setting, source: i8) -> DescribeConfigsResourceResult {
    let described = DescribeConfigsResourceResult::default()
        .with_name(StrBytes::from_static_str(name))
        .with_value(Some(StrBytes::from_string(value)))
        .with_read_only(true)
        .with_config_source(source);
    match call.version {
        3.. => described.with_config_type(TEXT),
        _ => described,
    }
}

fn of_stream(context: &Context, config: &StreamConfig) -> Vec<Setting> {
    let limit = |limit: Option<u64>| limit.map_or("-1".to_owned(), |limit| limit.to_string());
    let compression = match config.compression {
        Compression::None => "uncompressed",
        Compression::Lz4 => "lz4",
        Compression::Zstd => "zstd",
    };
    let cleanup = if config.compact { "compact,delete" } else { "delete" };
    vec![
        ("cleanup.policy", cleanup.to_owned()),
        ("compression.type", compression.to_owned()),
        ("max.message.bytes", context.limits().request_bytes_max.to_string()),
        ("message.timestamp.type", "LogAppendTime".to_owned()),
        ("min.insync.replicas", "1".to_owned()),
        ("retention.bytes", limit(config.retention.bytes)),
        ("retention.ms", limit(config.retention.age_ms)),
    ]
}

fn of_node(context: &Context) -> Vec<Setting> {
    let limits = context.limits();
    vec![
        ("auto.create.topics.enable", "false".to_owned()),
        ("delete.topic.enable", "false".to_owned()),
        ("default.replication.factor", "1".to_owned()),
        ("fetch.max.bytes", limits.fetch_bytes_max.to_string()),
        ("max.connections", limits.connections_max.to_string()),
        ("message.max.bytes", limits.request_bytes_max.to_string()),
        ("node.id", NODE_ID.to_string()),
    ]
}
