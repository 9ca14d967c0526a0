//! CreatePartitions: a stream grows by the configuration.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::create_partitions_response::CreatePartitionsTopicResult;
use kafka_protocol::messages::{CreatePartitionsRequest, CreatePartitionsResponse};
use kafka_protocol::protocol::StrBytes;

use crate::context::Context;
use crate::names;

/// Creates none.
pub(super) fn answer(
    context: &Context,
    request: &CreatePartitionsRequest,
) -> CreatePartitionsResponse {
    let topics = context.topics();
    let answered = request.topics.iter().map(|topic| {
        let (error, message) = match topics.named(&topic.name) {
            None => (ResponseError::UnknownTopicOrPartition, None),
            Some((stream, _)) => match usize::try_from(topic.count) {
                Ok(count) if count > stream.partitions.len() => {
                    let setting = format!("partitions = {count}");
                    let message = names::by_configuration(&stream.name, &setting);
                    (ResponseError::PolicyViolation, Some(message))
                }
                _ => {
                    let message = StrBytes::from_static_str("partitions never become fewer");
                    (ResponseError::InvalidPartitions, Some(message))
                }
            },
        };
        CreatePartitionsTopicResult::default()
            .with_name(topic.name.clone())
            .with_error_code(error.code())
            .with_error_message(message)
    });
    CreatePartitionsResponse::default().with_results(answered.collect())
}
