//! From the bytes of a request to those of its answer, around a handler. Knows no API.

use bytes::Bytes;
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion};

use crate::context::Call;
use crate::wire::{Answer, Refusal};

/// Decodes, has the handler answer, encodes.
pub(super) async fn reply<Q, A>(
    call: &Call,
    body: &Bytes,
    handle: impl AsyncFnOnce(Q) -> A,
) -> Result<Answer, Refusal>
where
    Q: Decodable,
    A: Encodable + HeaderVersion,
{
    let answer = handle(decode(call, body)?).await;
    Answer::of(&answer, call.version, call.correlation)
}

/// Of a request that passed the guard.
pub(super) fn decode<Q: Decodable>(call: &Call, body: &Bytes) -> Result<Q, Refusal> {
    Q::decode(&mut body.clone(), call.version).map_err(|error| {
        tracing::debug!(%error, "a request that does not decode");
        Refusal::Malformed
    })
}
