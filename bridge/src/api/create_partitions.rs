//! CreatePartitions: a stream grows by the configuration.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::create_partitions_response::CreatePartitionsTopicResult;
use kafka_protocol::messages::{CreatePartitionsRequest, CreatePartitionsResponse};
use kafka_protocol::protocol::StrBytes;

use crate::context::Context;
use crate::names::BY_CONFIGURATION;

/// Creates none.
pub(super) fn answer(
    context: &Context,
    request: &CreatePartitionsRequest,
) -> CreatePartitionsResponse {
    let topics = context.topics();
    let answered = request.topics.iter().map(|topic| {
        let result = CreatePartitionsTopicResult::default().with_name(topic.name.clone());
        match topics.named(&topic.name) {
            None => result.with_error_code(ResponseError::UnknownTopicOrPartition.code()),
            Some(_) => result
                .with_error_code(ResponseError::PolicyViolation.code())
                .with_error_message(Some(StrBytes::from_static_str(BY_CONFIGURATION))),
        }
    });
    CreatePartitionsResponse::default().with_results(answered.collect())
}
