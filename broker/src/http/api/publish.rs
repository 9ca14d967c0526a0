//! `/api/v1/publish`: a message into the log, the way of any client.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use tidewire_proto::qos::Qos;

use crate::broker::message::Message;
use crate::error::PublishError;
use crate::http::problem::Problem;
use crate::http::role::Role;
use crate::http::route::{Answers, Call, Doing, Route, Verb, json};
use crate::http::shape::{Shaped, asked, view};

asked! {
    /// A message that is to be published.
    NewMessage {
        /// Where; no filter.
        topic: String,
        /// What, as text. Say this or `payload_base64`; neither is an empty payload.
        payload: Option<String>,
        /// What, as bytes in base64.
        payload_base64: Option<String>,
        /// The promise: 0, 1 or 2; 1 if not said. At 1 and 2 it is on disk when this is answered.
        qos: Option<u16>,
        /// To be kept for later subscribers; false if not said.
        retain: Option<bool>,
        /// Seconds after which nobody wants it any more.
        expiry_s: Option<u32>,
        /// A MIME type, say.
        content_type: Option<String>,
        /// Where an answer is awaited.
        response_topic: Option<String>,
        /// User properties.
        user_properties: Option<BTreeMap<String, String>>,
    }
}

view! {
    /// That a message was published.
    Published {
        /// Whether it is durable: not at QoS 0.
        durable: bool,
    }
}

pub(in crate::http) const ROUTES: &[Route] = &[Route {
    verb: Verb::Post,
    path: "/api/v1/publish",
    role: Some(Role::Operator),
    name: "publish",
    about: "Publishes a message.",
    params: &[],
    body: Some(NewMessage::shape),
    answers: Answers::Json(Published::shape),
    run: |call| -> Doing { Box::pin(async move { publish(&call).await }) },
}];

async fn publish(call: &Call) -> Result<Response, Problem> {
    let message = message(call.read()?)?;
    let durable = message.qos != Qos::AtMostOnce;
    let published = call.site.inside()?.publishing.publish(message).await;
    published.map_err(|error| refused(&error))?;
    json(&Published { durable })
}

fn message(new: NewMessage) -> Result<Message, Problem> {
    let payload = match (new.payload, new.payload_base64) {
        (Some(_), Some(_)) => {
            return Err(Problem::invalid("say `payload` or `payload_base64`, not both"));
        }
        (Some(text), None) => Bytes::from(text),
        (None, Some(coded)) => {
            let bytes = STANDARD.decode(coded);
            Bytes::from(bytes.map_err(|_| Problem::invalid("`payload_base64` is no base64"))?)
        }
        (None, None) => Bytes::new(),
    };
    let qos = u8::try_from(new.qos.unwrap_or(1)).ok().and_then(Qos::from_bits);
    tidewire_proto::topic::check_topic_name(&new.topic)
        .map_err(|error| Problem::invalid(error.to_string()))?;
    Ok(Message {
        topic: new.topic,
        payload,
        qos: qos.ok_or_else(|| Problem::invalid("`qos` is 0, 1 or 2"))?,
        retain: new.retain.unwrap_or(false),
        expiry_s: new.expiry_s,
        content_type: new.content_type,
        response_topic: new.response_topic,
        user_properties: new.user_properties.unwrap_or_default().into_iter().collect(),
        ..Message::default()
    })
}

/// Why a message was not published.
pub(super) fn refused(error: &PublishError) -> Problem {
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}"));
    let detail = format!("{error}{}", cause.unwrap_or_default());
    let (status, code) = match error {
        PublishError::Invalid(_) => (StatusCode::BAD_REQUEST, "invalid"),
        PublishError::TooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "too_large"),
        PublishError::Refused(_) => (StatusCode::CONFLICT, "refused"),
        PublishError::Stopped => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
    };
    Problem::new(status, code, detail)
}
