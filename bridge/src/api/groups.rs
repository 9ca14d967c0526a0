//! The APIs of consumer groups, by key. What each means stands in its own file.

use bytes::Bytes;
use kafka_protocol::messages::ApiKey;

use super::reply::reply;
use super::{
    consumer_group_describe, consumer_group_heartbeat, delete_groups, describe_groups,
    find_coordinator, heartbeat, join_group, leave_group, list_groups, offset_commit,
    offset_delete, offset_fetch, sync_group,
};
use crate::context::{Call, Context};
use crate::wire::{Answer, Refusal};

/// Answers a request to one of them; `Err` closes the connection.
pub(super) async fn answer(
    context: &Context,
    call: &Call,
    key: ApiKey,
    body: &Bytes,
) -> Result<Answer, Refusal> {
    match key {
        ApiKey::JoinGroup => {
            reply(call, body, async |it| join_group::answer(context, call, it).await).await
        }
        ApiKey::SyncGroup => {
            reply(call, body, async |it| sync_group::answer(context, call, it).await).await
        }
        ApiKey::Heartbeat => {
            reply(call, body, async |it| heartbeat::answer(context, call, &it)).await
        }
        ApiKey::LeaveGroup => {
            reply(call, body, async |it| leave_group::answer(context, call, &it)).await
        }
        ApiKey::OffsetCommit => {
            reply(call, body, async |it| offset_commit::answer(context, call, it).await).await
        }
        ApiKey::OffsetFetch => {
            reply(call, body, async |it| offset_fetch::answer(context, call, &it)).await
        }
        ApiKey::FindCoordinator => {
            reply(call, body, async |it| find_coordinator::answer(context, call, &it)).await
        }
        ApiKey::ListGroups => {
            reply(call, body, async |it| list_groups::answer(context, call, &it)).await
        }
        ApiKey::DescribeGroups => {
            reply(call, body, async |it| describe_groups::answer(context, call, &it)).await
        }
        ApiKey::DeleteGroups => {
            reply(call, body, async |it| delete_groups::answer(context, call, it).await).await
        }
        ApiKey::OffsetDelete => {
            reply(call, body, async |it| offset_delete::answer(context, call, it).await).await
        }
        ApiKey::ConsumerGroupHeartbeat => {
            let answer = async |it| consumer_group_heartbeat::answer(context, call, &it);
            reply(call, body, answer).await
        }
        ApiKey::ConsumerGroupDescribe => {
            let answer = async |it| consumer_group_describe::answer(context, call, &it);
            reply(call, body, answer).await
        }
        _ => Err(Refusal::UnknownApi),
    }
}
