//! DeleteTopics: a stream is not deleted while the broker runs.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::delete_topics_response::DeletableTopicResult;
use kafka_protocol::messages::{DeleteTopicsRequest, DeleteTopicsResponse, TopicName};
use uuid::Uuid;

use crate::context::{Call, Context};

/// Deletes none.
pub(super) fn answer(
    context: &Context,
    call: &Call,
    request: &DeleteTopicsRequest,
) -> DeleteTopicsResponse {
    let topics = context.topics();
    let refused = |name: Option<TopicName>, id: Uuid| {
        let is_known = match &name {
            Some(name) => topics.named(name).is_some(),
            None => topics.with_id(id).is_some(),
        };
        let error = match (is_known, &name) {
            (true, _) => ResponseError::TopicDeletionDisabled,
            (false, Some(_)) => ResponseError::UnknownTopicOrPartition,
            (false, None) => ResponseError::UnknownTopicId,
        };
        let result = DeletableTopicResult::default().with_name(name).with_error_code(error.code());
        match call.version {
            6.. => result.with_topic_id(id),
            _ => result,
        }
    };
    let named = request.topic_names.iter().map(|name| refused(Some(name.clone()), Uuid::nil()));
    let states = request.topics.iter().map(|topic| refused(topic.name.clone(), topic.topic_id));
    DeleteTopicsResponse::default().with_responses(named.chain(states).collect())
}
