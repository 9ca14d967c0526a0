//! Texts on their way between Kafka's messages and ours. Knows neither.

use std::sync::Arc;

use kafka_protocol::protocol::StrBytes;

/// A text of a request, kept apart from the request's bytes.
pub(crate) fn shared(text: &str) -> Arc<str> {
    text.into()
}

/// A text for an answer.
pub(crate) fn spoken(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}
