//! Offsets that a request wants committed: each is right, or it is said why not. Knows no API.

use std::sync::Arc;

use crate::groups::{Refusal, Spot, Wanted};
use crate::names::Topics;
use crate::text::shared;

/// What is said of one partition: an offset to commit, or why not.
pub(super) type Judged = (i32, Result<Wanted, Refusal>);

/// As it stands in the request.
pub(super) struct Asked<'a> {
    pub(super) partition: i32,
    pub(super) offset: i64,
    /// -1 for none.
    pub(super) leader_epoch: i32,
    pub(super) metadata: &'a str,
}

/// Judges the offsets of one topic.
pub(super) fn judge<'a>(
    topics: &Topics,
    name: &str,
    asked: impl Iterator<Item = Asked<'a>>,
    metadata_max: usize,
) -> Vec<Judged> {
    let topic: Arc<str> = shared(name);
    let count = topics.named(name).map_or(0, |(stream, _)| stream.partitions.len());
    let one = |asked: &Asked<'_>| {
        let index = u32::try_from(asked.partition);
        let known = index.ok().filter(|index| (*index as usize) < count);
        let partition = known.ok_or(Refusal::UnknownPartition)?;
        if asked.metadata.len() > metadata_max {
            return Err(Refusal::MetadataTooLarge);
        }
        Ok(Wanted {
            spot: Spot { topic: Arc::clone(&topic), partition },
            offset: u64::try_from(asked.offset).map_err(|_| Refusal::InvalidRequest)?,
            leader_epoch: asked.leader_epoch,
            metadata: asked.metadata.into(),
        })
    };
    asked.map(|asked| (asked.partition, one(&asked))).collect()
}
