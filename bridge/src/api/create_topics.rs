//! CreateTopics: streams are made in the configuration; who asks for one that exists hears that.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::create_topics_response::CreatableTopicResult;
use kafka_protocol::messages::{CreateTopicsRequest, CreateTopicsResponse};
use kafka_protocol::protocol::StrBytes;

use crate::context::Context;
use crate::names;

/// Creates none.
pub(super) fn answer(context: &Context, request: &CreateTopicsRequest) -> CreateTopicsResponse {
    let topics = context.topics();
    let answered = request.topics.iter().map(|topic| {
        let (error, message) = match topics.named(&topic.name) {
            Some(_) => {
                let message = StrBytes::from_static_str("there is a stream of this name");
                (ResponseError::TopicAlreadyExists, message)
            }
            None => {
                let setting = match topic.num_partitions {
                    count @ 1.. => format!("filters = [...] and partitions = {count}"),
                    _ => "filters = [...]".to_owned(),
                };
                (ResponseError::PolicyViolation, names::by_configuration(&topic.name, &setting))
            }
        };
        CreatableTopicResult::default()
            .with_name(topic.name.clone())
            .with_error_code(error.code())
            .with_error_message(Some(message))
    });
    CreateTopicsResponse::default().with_topics(answered.collect())
}
