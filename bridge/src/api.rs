//! From a frame to its answer: header, table of versions, guard, decoder, handler. One handler
//! file per API; what an API means stands there and nowhere else.

mod api_versions;
mod metadata;

use std::net::SocketAddr;

use bytes::Bytes;
use kafka_protocol::messages::{ApiKey, ApiVersionsRequest};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion};

use crate::context::{Call, Context};
use crate::guard::{self, Reader};
use crate::versions::{self, Api};
use crate::wire::{Answer, Refusal, RequestHead, read_client_id};

/// Who asks, and where.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ends {
    pub(crate) local: SocketAddr,
    pub(crate) peer: SocketAddr,
}

/// A request that passed the guard.
pub(crate) struct Admitted {
    api: &'static Api,
    call: Call,
    body: Bytes,
}

/// What a frame turned out to be.
pub(crate) enum Incoming {
    /// To be handled.
    Request(Admitted),
    /// ApiVersions in a version that we do not know: the answer tells the client which we do.
    Answered(Answer),
}

/// Looks at a frame; `Err` closes the connection.
pub(crate) fn admit(frame: &Bytes, ends: Ends) -> Result<Incoming, Refusal> {
    let malformed = |_| Refusal::Malformed;
    let mut reader = Reader::new(frame);
    let head = RequestHead::read(&mut reader).map_err(malformed)?;
    let RequestHead { key, version, correlation } = head;
    let api = versions::find(key).ok_or(Refusal::UnknownApi)?;
    if !api.serves(version) {
        if api.key == ApiKey::ApiVersions {
            return api_versions::unsupported(correlation).map(Incoming::Answered);
        }
        tracing::debug!(?api.key, version, "a version that we do not serve");
        return Err(Refusal::UnknownApi);
    }
    let client_id = read_client_id(&mut reader, api.is_flexible(version)).map_err(malformed)?;
    let body = frame.slice_ref(reader.rest());
    if let Err(error) = guard::check(api.shape, version, &body) {
        tracing::debug!(?api.key, version, %error, "a request that the guard refuses");
        return Err(Refusal::Malformed);
    }
    let Ends { local, peer } = ends;
    let call = Call { version, correlation, client_id, local, peer };
    Ok(Incoming::Request(Admitted { api, call, body }))
}

/// Answers a request; `Err` closes the connection.
pub(crate) async fn answer(context: &Context, request: Admitted) -> Result<Answer, Refusal> {
    let Admitted { api, call, body } = &request;
    match api.key {
        ApiKey::ApiVersions => {
            let answer = async |_: ApiVersionsRequest| api_versions::answer();
            reply(call, body, answer).await
        }
        ApiKey::Metadata => {
            let answer = async |request| metadata::answer(context, call, &request);
            reply(call, body, answer).await
        }
        _ => Err(Refusal::UnknownApi),
    }
}

/// Decodes, has the handler answer, encodes.
async fn reply<Q, A>(
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

fn decode<Q: Decodable>(call: &Call, body: &Bytes) -> Result<Q, Refusal> {
    Q::decode(&mut body.clone(), call.version).map_err(|error| {
        tracing::debug!(%error, "a request that does not decode");
        Refusal::Malformed
    })
}
