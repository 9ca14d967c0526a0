//! From a frame to its answer: header, table of versions, guard, decoder, handler. One handler
//! file per API; what an API means stands there and nowhere else.

mod api_versions;
mod delete_groups;
mod describe_groups;
mod find_coordinator;
mod groups;
mod heartbeat;
mod join_group;
mod leave_group;
mod list_groups;
mod metadata;
mod offset_commit;
mod offset_delete;
mod offset_fetch;
mod reply;
mod sync_group;

use std::net::SocketAddr;

use bytes::Bytes;
use kafka_protocol::messages::{ApiKey, ApiVersionsRequest};

use crate::context::{Call, Context};
use crate::guard::{self, Reader};
use crate::versions::{self, Api};
use crate::wire::{Answer, Refusal, RequestHead, read_client_id};

use reply::reply;

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
        _ => groups::answer(context, call, api.key, body).await,
    }
}
