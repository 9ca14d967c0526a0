//! Consumer groups in `tidewire log stats`: as a table or as JSON. Counts nothing itself.

use std::fmt::Write;

use serde_json::{Value, json};
use tidewire_bridge::assigned_partitions;
use tidewire_store::inspect::{GroupOffsetStats, GroupStats, ReaderStats};

use crate::cli::wording::{ago, count, seconds};
use crate::moment::rfc3339;

/// As of now, in milliseconds since 1970.
pub(super) fn document(groups: &[GroupStats], now_ms: i64) -> Value {
    let offset = |one: &GroupOffsetStats| {
        json!({
            "stream": one.stream,
            "partition": one.partition,
            "offset": one.offset,
            "behind": one.behind,
            "behind_seconds": seconds(one.unread_since_ms, now_ms),
            "committed": rfc3339(one.committed_ms),
        })
    };
    let group = |one: &GroupStats| {
        let readers = one.readers.iter().map(|reader| of_reader(one, reader, now_ms));
        json!({
            "group": one.name,
            "generation": one.generation,
            "members": one.members,
            "behind": behind(one),
            "behind_seconds": seconds(since(one), now_ms),
            "readers": readers.collect::<Vec<_>>(),
            "offsets": one.offsets.iter().map(offset).collect::<Vec<_>>(),
        })
    };
    groups.iter().map(group).collect()
}

/// What is behind of all that a member was given to read.
fn of_reader(group: &GroupStats, reader: &ReaderStats, now_ms: i64) -> Value {
    let (behind, since) = lag_of(group, reader);
    let seconds = seconds(since, now_ms);
    json!({ "client_id": reader.client_id, "behind": behind, "behind_seconds": seconds })
}

fn lag_of(group: &GroupStats, reader: &ReaderStats) -> (u64, Option<i64>) {
    let own = assigned_partitions(&reader.assignment);
    let is_own = |at: &&GroupOffsetStats| {
        own.iter().any(|(topic, all)| *topic == at.stream && all.contains(&at.partition))
    };
    let own = group.offsets.iter().filter(is_own);
    own.fold((0, None), |(behind, since), at| {
        (behind + at.behind, earlier(since, at.unread_since_ms))
    })
}

pub(super) fn words(groups: &[GroupStats], now_ms: i64, text: &mut String) {
    if groups.is_empty() {
        return;
    }
    let _ = writeln!(text, "\nconsumer groups:");
    for one in groups {
        let members = count(one.members, "member");
        let _ = writeln!(
            text,
            "  {}: {members}, {} records behind{}",
            one.name,
            behind(one),
            ago(since(one), now_ms)
        );
        for reader in &one.readers {
            let (behind, since) = lag_of(one, reader);
            let ago = ago(since, now_ms);
            let _ = writeln!(text, "    member {}: {behind} behind{ago}", reader.client_id);
        }
        for at in &one.offsets {
            let GroupOffsetStats { stream, partition, offset, behind, .. } = at;
            let ago = ago(at.unread_since_ms, now_ms);
            let _ = writeln!(text, "    {stream} {partition}: at {offset}, {behind} behind{ago}");
        }
    }
}

fn behind(group: &GroupStats) -> u64 {
    group.offsets.iter().map(|one| one.behind).sum()
}

/// When the first record came that the group has not read.
fn since(group: &GroupStats) -> Option<i64> {
    group.offsets.iter().fold(None, |since, at| earlier(since, at.unread_since_ms))
}

fn earlier(one: Option<i64>, other: Option<i64>) -> Option<i64> {
    one.into_iter().chain(other).min()
}
