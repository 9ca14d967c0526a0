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

/// What those are to each other whose words for what they read are known.
const CONSUMERS: &str = "consumer";

/// Answered when they are gone for good.
pub(super) async fn answer(
    context: &Context,
    call: &Call,
    request: OffsetDeleteRequest,
) -> OffsetDeleteResponse {
    let (permit, streams) = (context.permit(call), context.topics());
    if let Err(error) = permit.group(&request.group_id) {
        return OffsetDeleteResponse::default().with_error_code(error.code());
    }
    let name: Arc<str> = shared(&request.group_id);
    let read = match context.coordinator.look(|groups| topics_read(groups, &name)) {
        Ok(read) => read,
        Err(why) => return OffsetDeleteResponse::default().with_error_code(why.code()),
    };
    let judge = |topic: &str| match streams.named(topic) {
        Some((stream, _)) if permit.read(stream).is_err() => Err(Refusal::NotAllowed),
        _ if read.as_ref().is_some_and(|read| !read.contains(topic)) => Ok(()),
        _ => Err(Refusal::Subscribed),
    };
    let that_go = request.topics.iter().filter(|topic| judge(&topic.name).is_ok());
    let spots = that_go.flat_map(|topic| {
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
        let code = judge(&topic.name).map_or_else(Refusal::code, |()| error);
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

/// What the members of a group say that they read; `None` if there are some that did not say it
/// yet, or in words that we do not know: they may read anything.
fn topics_read(groups: &Groups, name: &str) -> Result<Option<BTreeSet<String>>, Refusal> {
    let group = groups.describe(name).ok_or(Refusal::UnknownGroup)?;
    if let Some((_, readers)) = groups.readers(name) {
        // Members of the newer kind say it in each request.
        let named = readers.into_iter().flat_map(|reader| reader.topics);
        return Ok(Some(named.map(|topic| (*topic).to_owned()).collect()));
    }
    if group.members.is_empty() {
        return Ok(Some(BTreeSet::new()));
    }
    if &*group.protocol_type != CONSUMERS {
        return Err(Refusal::NotEmpty);
    }
    let said = group.members.iter().map(|member| subscription::read_topics(&member.metadata).ok());
    let said: Option<Vec<Vec<String>>> = said.collect();
    Ok(said.map(|said| said.into_iter().flatten().collect()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::topics_read;
    use crate::groups::{Beat, Groups, Join, Limits, Moment, Protocol, Refusal, Ticket};

    const METADATA: &[u8] = b"\0\x01\0\0\0\x01\0\x04mqtt\xff\xff\xff\xff";

    /// What may be read by a group that somebody joins so.
    fn read(
        protocol_type: &str,
        metadata: &'static [u8],
        is_over: bool,
    ) -> Result<Option<Vec<String>>, Refusal> {
        let mut groups = Groups::new(Limits { initial_delay_ms: 1_000, ..Limits::default() });
        let name: Arc<str> = "team".into();
        let join = Join {
            member: "".into(),
            instance: None,
            client_id: "client".into(),
            host: "/127.0.0.1".into(),
            session_ms: 10_000,
            rebalance_ms: Some(10_000),
            protocol_type: protocol_type.into(),
            protocols: vec![Protocol { name: "range".into(), metadata: metadata.into() }],
            comes_back: false,
            may_skip: false,
            fresh: "member-1".into(),
        };
        groups.join(&name, Ticket(1), &join, Moment::default());
        if is_over {
            groups.tick(Moment { steady_ms: 1_000, wall_ms: 1_000 });
        }
        topics_read(&groups, &name).map(|read| read.map(|read| read.into_iter().collect()))
    }

    #[test]
    fn of_members_that_do_not_say_what_they_read_nothing_is_deleted() {
        assert_eq!(read("consumer", METADATA, true), Ok(Some(vec!["mqtt".to_owned()])));
        assert_eq!(read("consumer", METADATA, false), Ok(None), "they join for the first time");
        assert_eq!(read("consumer", b"x", true), Ok(None));
        assert_eq!(read("connect", METADATA, true), Err(Refusal::NotEmpty));
    }

    #[test]
    fn what_members_of_the_newer_kind_read_is_read() {
        let mut groups = Groups::new(Limits::default());
        let (name, topic): (Arc<str>, Arc<str>) = ("team".into(), "mqtt".into());
        assert_eq!(topics_read(&groups, &name), Err(Refusal::UnknownGroup));
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
        assert_eq!(topics_read(&groups, &name), Ok(Some(["mqtt".to_owned()].into())));
        let leave = Beat { epoch: -1, ..beat };
        groups.beat(&name, &leave, Moment::default()).expect("it leaves");
        assert_eq!(topics_read(&groups, &name), Ok(Some([].into())));
    }
}
