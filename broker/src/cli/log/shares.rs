//! Share groups in `tidewire log stats`: as a table or as JSON. Counts nothing itself.

use std::fmt::Write;

use serde_json::{Value, json};
use tidewire_store::inspect::ShareStats;

use crate::cli::wording::{ago, count, seconds};

/// As of now, in milliseconds since 1970.
pub(super) fn document(shares: &[ShareStats], now_ms: i64) -> Value {
    let group = |one: &ShareStats| {
        json!({
            "filter": one.filter,
            "members": one.members,
            "behind": one.behind,
            "behind_seconds": seconds(one.unread_since_ms, now_ms),
            "handed": one.handed,
            "waiting": one.waiting,
            "attempts_max": one.attempts_max,
        })
    };
    shares.iter().map(group).collect()
}

pub(super) fn words(shares: &[ShareStats], now_ms: i64, text: &mut String) {
    if shares.is_empty() {
        return;
    }
    let _ = writeln!(text, "\nshare groups:");
    for one in shares {
        let ago = ago(one.unread_since_ms, now_ms);
        let ShareStats { filter, behind, handed, waiting, attempts_max, .. } = one;
        let members = count(one.members, "lasting member");
        let _ = writeln!(
            text,
            "  {filter}: {members}, {behind} records behind{ago}, {handed} handed out, {waiting} \
             to be handed out again, at most {attempts_max} attempts"
        );
    }
}
