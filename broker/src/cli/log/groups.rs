//! Consumer groups in `tidewire log stats`: as a table or as JSON. Counts nothing itself.

use std::fmt::Write;

use serde_json::{Value, json};
use tidewire_store::inspect::{GroupOffsetStats, GroupStats};

use super::moment::rfc3339;
use super::wording::count;

pub(super) fn document(groups: &[GroupStats]) -> Value {
    let offset = |one: &GroupOffsetStats| {
        json!({
            "stream": one.stream,
            "partition": one.partition,
            "offset": one.offset,
            "behind": one.behind,
            "committed": rfc3339(one.committed_ms),
        })
    };
    let group = |one: &GroupStats| {
        json!({
            "group": one.name,
            "generation": one.generation,
            "members": one.members,
            "behind": behind(one),
            "offsets": one.offsets.iter().map(offset).collect::<Vec<_>>(),
        })
    };
    groups.iter().map(group).collect()
}

pub(super) fn words(groups: &[GroupStats], text: &mut String) {
    if groups.is_empty() {
        return;
    }
    let _ = writeln!(text, "\nconsumer groups:");
    for one in groups {
        let members = count(one.members, "member");
        let _ = writeln!(text, "  {}: {members}, {} records behind", one.name, behind(one));
        for at in &one.offsets {
            let GroupOffsetStats { stream, partition, offset, behind, .. } = at;
            let _ = writeln!(text, "    {stream} {partition}: at {offset}, {behind} behind");
        }
    }
}

fn behind(group: &GroupStats) -> u64 {
    group.offsets.iter().map(|one| one.behind).sum()
}
