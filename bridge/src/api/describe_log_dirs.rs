//! DescribeLogDirs: how much each partition holds. Names no folder of the machine.

use std::collections::HashSet;

use kafka_protocol::messages::describe_log_dirs_response::{
    DescribeLogDirsPartition, DescribeLogDirsResult, DescribeLogDirsTopic,
};
use kafka_protocol::messages::{DescribeLogDirsRequest, DescribeLogDirsResponse, TopicName};
use kafka_protocol::protocol::StrBytes;
use tidewire_store::Stream;

use crate::context::{Call, Context};

/// All of it, or what is asked for.
pub(super) fn answer(
    context: &Context,
    call: &Call,
    request: &DescribeLogDirsRequest,
) -> DescribeLogDirsResponse {
    let streams = context.store.streams();
    // A set: whoever names a topic and its partitions often is not looked for often.
    let asked = request.topics.as_ref().map(|topics| {
        let places = topics
            .iter()
            .flat_map(|topic| topic.partitions.iter().map(|index| (topic.topic.as_str(), *index)));
        places.collect::<HashSet<_>>()
    });
    let is_asked = |stream: &Stream, index: i32| {
        asked.as_ref().is_none_or(|asked| asked.contains(&(stream.name.as_str(), index)))
    };
    let topics = streams.iter().map(|stream| {
        let numbered = (0..).zip(&stream.partitions);
        let asked = numbered.filter(|(index, _)| is_asked(stream, *index));
        let partitions = asked.map(|(index, id)| {
            let bytes = context.store.partition_bytes(*id);
            DescribeLogDirsPartition::default()
                .with_partition_index(index)
                .with_partition_size(i64::try_from(bytes).unwrap_or(i64::MAX))
        });
        DescribeLogDirsTopic::default()
            .with_name(TopicName(StrBytes::from_string(stream.name.clone())))
            .with_partitions(partitions.collect())
    });
    let topics = topics.filter(|topic| !topic.partitions.is_empty()).collect();
    let folder = DescribeLogDirsResult::default()
        .with_log_dir(StrBytes::from_static_str("data"))
        .with_topics(topics);
    let folder = match call.version {
        4.. => folder.with_total_bytes(-1).with_usable_bytes(-1),
        _ => folder,
    };
    DescribeLogDirsResponse::default().with_results(vec![folder])
}
