//! OffsetDelete: a group forgets what it committed for topics that none of its members reads.

use std::collections::BTreeSet;
use std::sync::Arc;

use kafka_protocol::messages::offset_delete_response::{
    OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};
use kafka_protocol::messages::{OffsetDeleteRequest, OffsetDeleteResponse};

use crate::context::{Call, Context};
use crate::groups::{Answer, Groups, Refusal, Spot};
use crate::subscription;
use crate::text::shared;

/// Answered when they are gone for good.
pub(super) async fn answer(
    context: &Context,
    call: &Call,
    request: OffsetDeleteRequest,
) -> OffsetDeleteResponse {
    if let Err(error) = context.permit(call).group(&request.group_id) {
        return OffsetDeleteResponse::default().with_error_code(error.code());
    }
    let name: Arc<str> = shared(&request.group_id);
    let Some(read) = context.coordinator.look(|groups| topics_read(groups, &name)) else {
        return OffsetDeleteResponse::default().with_error_code(Refusal::UnknownGroup.code());
    };
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

/// What the members of a group say that they read; `None` if there is no such group.
fn topics_read(groups: &Groups, name: &str) -> Option<BTreeSet<String>> {
    let group = groups.describe(name)?;
    let members = group.members.iter();
    let said = members.flat_map(|member| subscription::topics(&member.metadata));
    // Members of the newer kind say it in each request, and have no such bytes.
    let readers = groups.readers(name).into_iter().flat_map(|(_, readers)| readers);
    let named = readers.flat_map(|reader| reader.topics).map(|topic| (*topic).to_owned());
    Some(said.chain(named).collect())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::topics_read;
    use crate::groups::{Beat, Groups, Limits, Moment};

    #[test]
    fn what_members_of_the_newer_kind_read_is_read() {
        let mut groups = Groups::new(Limits::default());
        let (name, topic): (Arc<str>, Arc<str>) = ("team".into(), "mqtt".into());
        assert_eq!(topics_read(&groups, &name), None);
        let beat = Beat {
            member: "one".into(),
            instance: None,
            epoch: 0,
            client_id: "client".into(),
            host: "/127.0.0.1".into(),
            rebalance_ms: 1_000,
            topics: Some([Arc::clone(&topic)].into()),
            owned: Some([].into()),
            counts: vec![(topic, 4)],
        };
        groups.beat(&name, &beat, Moment::default()).expect("it joins");
        assert_eq!(topics_read(&groups, &name), Some(["mqtt".to_owned()].into()));
        let leave = Beat { epoch: -1, ..beat };
        groups.beat(&name, &leave, Moment::default()).expect("it leaves");
        assert_eq!(topics_read(&groups, &name), Some([].into()));
    }
}
