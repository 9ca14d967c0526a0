//! OffsetDelete: a group forgets what it committed for topics that none of its members reads.

use std::collections::BTreeSet;
use std::sync::Arc;

use kafka_protocol::messages::offset_delete_response::{
    OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};
use kafka_protocol::messages::{OffsetDeleteRequest, OffsetDeleteResponse};

use crate::context::Context;
use crate::groups::{Answer, Described, Refusal, Spot};
use crate::subscription;
use crate::text::shared;

/// Answered when they are gone for good.
pub(super) async fn answer(
    context: &Context,
    request: OffsetDeleteRequest,
) -> OffsetDeleteResponse {
    let name: Arc<str> = shared(&request.group_id);
    let Some(group) = context.coordinator.look(|groups| groups.describe(&name)) else {
        return OffsetDeleteResponse::default().with_error_code(Refusal::UnknownGroup.code());
    };
    let read = topics_read(&group);
    let can_go = |topic: &str| !read.contains(topic);
    let spots = request.topics.iter().filter(|topic| can_go(&topic.name)).flat_map(|topic| {
        let name: Arc<str> = shared(&topic.name);
        let indexes = topic.partitions.iter();
        let indexes = indexes.filter_map(|it| u32::try_from(it.partition_index).ok());
        indexes.map(move |partition| Spot { topic: Arc::clone(&name), partition })
    });
    let error = match context.coordinator.forget(&name, spots.collect()).await {
        Answer::Done => 0,
        Answer::Refused(why) => {
            return OffsetDeleteResponse::default().with_error_code(why.code());
        }
        _ => Refusal::InvalidRequest.code(),
    };
    let topics = request.topics.into_iter().map(|topic| {
        let code = if can_go(&topic.name) { error } else { Refusal::Subscribed.code() };
        let partitions = topic.partitions.iter().map(|partition| {
            OffsetDeleteResponsePartition::default()
                .with_partition_index(partition.partition_index)
                .with_error_code(code)
        });
        OffsetDeleteResponseTopic::default()
            .with_partitions(partitions.collect())
            .with_name(topic.name)
    });
    OffsetDeleteResponse::default().with_topics(topics.collect())
}

/// What the members of a group say that they read.
fn topics_read(group: &Described) -> BTreeSet<String> {
    let members = group.members.iter();
    members.flat_map(|member| subscription::topics(&member.metadata)).collect()
}
