//! Offsets that a request wants committed: each is right, or it is said why not. Knows no API.

use std::sync::Arc;

use kafka_protocol::ResponseError;

use crate::groups::{Refusal, Spot, Wanted};
use crate::names::Topics;
use crate::permit::Permit;
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

/// Judges the offsets of one topic: how far it was read is said by who may read it.
pub(super) fn judge<'a>(
    (topics, permit): (&Topics, &Permit),
    name: &str,
    asked: impl Iterator<Item = Asked<'a>>,
    metadata_max: usize,
) -> Vec<Judged> {
    let topic: Arc<str> = shared(name);
    let stream = topics.named(name).map(|(stream, _)| stream);
    let count = stream.map_or(0, |stream| stream.partitions.len());
    let may_read = stream.is_none_or(|stream| permit.read(stream).is_ok());
    let one = |asked: &Asked<'_>| {
        if !may_read {
            return Err(Refusal::NotAllowed);
        }
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

/// The code for one partition where this became of those that are right. Who may have none of it
/// hears just that, and not which partitions there are.
pub(super) fn code(
    may: Result<(), ResponseError>,
    judged: Result<Wanted, Refusal>,
    became: i16,
) -> i16 {
    match (may, judged) {
        (Err(denied), _) => denied.code(),
        (Ok(()), Err(why)) => why.code(),
        (Ok(()), Ok(_)) => became,
    }
}

#[cfg(test)]
mod tests {
    use kafka_protocol::ResponseError;

    use super::{Refusal, Spot, Wanted, code};

    #[test]
    fn who_may_not_hears_that_before_what_else_is_wrong() {
        let spot = Spot { topic: "mqtt".into(), partition: 1 };
        let right = Wanted { spot, offset: 7, leader_epoch: -1, metadata: "".into() };
        let denied = ResponseError::GroupAuthorizationFailed;
        for (may, judged, expected) in [
            (Err(denied), Err(Refusal::UnknownPartition), denied.code()),
            (Err(denied), Ok(right.clone()), denied.code()),
            (Ok(()), Err(Refusal::UnknownPartition), 3),
            (Ok(()), Ok(right), 25),
        ] {
            assert_eq!(code(may, judged, 25), expected);
        }
    }
}
