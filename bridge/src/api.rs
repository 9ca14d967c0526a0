//! From a frame to its answer: header, table of versions, guard, decoder, handler. One handler
//! file per API; what an API means stands there and nowhere else.

mod add_offsets_to_txn;
mod add_partitions_to_txn;
mod admin;
mod api_versions;
mod asked;
mod consumer_group_describe;
mod consumer_group_heartbeat;
mod create_partitions;
mod create_topics;
mod delete_groups;
mod delete_records;
mod delete_topics;
mod denied;
mod describe_acls;
mod describe_cluster;
mod describe_configs;
mod describe_groups;
mod describe_log_dirs;
mod describe_producers;
mod describe_topic_partitions;
mod describe_transactions;
mod end_txn;
mod fetch;
mod find_coordinator;
mod groups;
mod heartbeat;
mod incremental_alter_configs;
mod init_producer_id;
mod join_group;
mod leave_group;
mod list_groups;
mod list_offsets;
mod list_transactions;
mod metadata;
mod offset_commit;
mod offset_delete;
mod offset_fetch;
mod offset_for_leader_epoch;
mod produce;
mod reply;
mod sync_group;
mod transactions;
mod txn_offset_commit;
mod wanted;

use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;

use bytes::Bytes;
use kafka_protocol::messages::{
    ApiKey, ApiVersionsRequest, SaslAuthenticateRequest, SaslHandshakeRequest,
};

use crate::caller::Caller;
use crate::context::{Call, Context};
use crate::guard::{self, Reader};
use crate::sign_in::{self, Next, SignIn, Stranger};
use crate::versions::{self, Api};
use crate::wire::{Answer, Refusal, RequestHead, read_client_id};

use reply::{decode, reply};

/// Who asks, and where.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ends {
    pub(crate) local: SocketAddr,
    pub(crate) peer: SocketAddr,
    /// The listener, by its place among them.
    pub(crate) door: usize,
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
pub(crate) fn admit(frame: &Bytes, ends: Ends, caller: &Rc<Caller>) -> Result<Incoming, Refusal> {
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
    let Ends { local, peer, door } = ends;
    let call =
        Call { version, correlation, client_id, local, peer, door, caller: Rc::clone(caller) };
    Ok(Incoming::Request(Admitted { api, call, body }))
}

impl Admitted {
    /// Will it append to the log?
    pub(crate) fn appends(&self) -> bool {
        self.api.key == ApiKey::Produce
    }

    /// Is it answered whoever asks?
    pub(crate) fn is_for_everybody(&self) -> bool {
        self.api.key == ApiKey::ApiVersions
    }

    /// Is it a step of signing in?
    pub(crate) fn signs_in(&self) -> bool {
        matches!(self.api.key, ApiKey::SaslHandshake | ApiKey::SaslAuthenticate)
    }
}

/// Goes on with signing in.
pub(crate) async fn sign_in(
    context: &Context,
    sign_in: &mut SignIn,
    request: &Admitted,
) -> Result<(Answer, Next), Refusal> {
    let (call, gate) = (&request.call, &*context.options.gate);
    if request.api.key == ApiKey::SaslHandshake {
        let answer = sign_in.name(gate, &decode(call, &request.body)?);
        let answer = Answer::of(&answer, call.version, call.correlation)?;
        return Ok((answer, Next::More));
    }
    let step = decode(call, &request.body)?;
    let who = Stranger {
        address: call.peer.ip(),
        client_id: &call.client_id,
        listener: context.listener(call.door).unwrap_or_default(),
    };
    let (answer, next) = sign_in.show(gate, who, &step).await;
    Ok((Answer::of(&answer, call.version, call.correlation)?, next))
}

/// A request on its way to its answer; `Err` closes the connection.
pub(crate) type Answering = Pin<Box<dyn Future<Output = Result<Answer, Refusal>>>>;

/// Begins with a request. What a producer sends is handed to the store before this returns, so that
/// many of its requests can be on their way; everything else begins when the answer is awaited.
pub(crate) fn begin(context: Rc<Context>, request: Admitted) -> Answering {
    if !request.appends() {
        return Box::pin(async move { answer(&context, request).await });
    }
    let Admitted { call, body, .. } = request;
    let begun = decode(&call, &body).map(|request| produce::begin(&context, &call, &request));
    Box::pin(async move { produce::finish(&context, &call, begun?).await })
}

async fn answer(context: &Context, request: Admitted) -> Result<Answer, Refusal> {
    let Admitted { api, call, body } = &request;
    match api.key {
        ApiKey::ApiVersions => {
            let answer = async |_: ApiVersionsRequest| api_versions::answer();
            reply(call, body, answer).await
        }
        ApiKey::SaslHandshake => {
            let answer = async |_: SaslHandshakeRequest| sign_in::handshake_out_of_place();
            reply(call, body, answer).await
        }
        ApiKey::SaslAuthenticate => {
            let answer = async |_: SaslAuthenticateRequest| sign_in::authenticate_out_of_place();
            reply(call, body, answer).await
        }
        ApiKey::Metadata => {
            let answer = async |request| metadata::answer(context, call, &request);
            reply(call, body, answer).await
        }
        ApiKey::Fetch => fetch::answer(context, call, &decode(call, body)?).await,
        ApiKey::InitProducerId => {
            let answer = async |request| init_producer_id::answer(context, call, &request).await;
            reply(call, body, answer).await
        }
        ApiKey::ListOffsets => {
            let answer = async |request| list_offsets::answer(context, call, &request).await;
            reply(call, body, answer).await
        }
        ApiKey::OffsetForLeaderEpoch => {
            let answer = async |request| offset_for_leader_epoch::answer(context, call, &request);
            reply(call, body, answer).await
        }
        key if transactions::serves(key) => transactions::answer(context, call, key, body).await,
        key if admin::serves(key) => admin::answer(context, call, key, body).await,
        _ => groups::answer(context, call, api.key, body).await,
    }
}

#[cfg(test)]
pub(crate) mod tests;
