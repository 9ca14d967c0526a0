//! The APIs of transactions, by key. What each means stands in its own file.

use bytes::Bytes;
use kafka_protocol::messages::ApiKey;

use super::reply::reply;
use super::{add_offsets_to_txn, add_partitions_to_txn, end_txn, txn_offset_commit};
use crate::context::{Call, Context};
use crate::wire::{Answer, Refusal};

/// Is it one of these?
pub(super) fn serves(key: ApiKey) -> bool {
    matches!(
        key,
        ApiKey::AddOffsetsToTxn
            | ApiKey::AddPartitionsToTxn
            | ApiKey::EndTxn
            | ApiKey::TxnOffsetCommit
    )
}

/// Answers it.
pub(super) async fn answer(
    context: &Context,
    call: &Call,
    key: ApiKey,
    body: &Bytes,
) -> Result<Answer, Refusal> {
    match key {
        ApiKey::AddOffsetsToTxn => {
            let answer = async |it| add_offsets_to_txn::answer(context, call, &it).await;
            reply(call, body, answer).await
        }
        ApiKey::AddPartitionsToTxn => {
            let answer = async |it| add_partitions_to_txn::answer(context, call, &it).await;
            reply(call, body, answer).await
        }
        ApiKey::EndTxn => {
            reply(call, body, async |it| end_txn::answer(context, call, &it).await).await
        }
        ApiKey::TxnOffsetCommit => {
            reply(call, body, async |it| txn_offset_commit::answer(context, call, &it)).await
        }
        _ => Err(Refusal::UnknownApi),
    }
}
