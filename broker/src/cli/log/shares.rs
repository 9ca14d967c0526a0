//! Share groups in `tidewire log stats`: as a table or as JSON. Counts nothing itself.

use std::fmt::Write;

use serde_json::{Value, json};
use tidewire_store::inspect::ShareStats;

use super::wording::count;

pub(super) fn document(shares: &[ShareStats]) -> Value {
    let group = |one: &ShareStats| {
        json!({
            "filter": one.filter,
            "members": one.members,
            "behind": one.behind,
            "handed": one.handed,
            "waiting": one.waiting,
            "attempts_max": one.attempts_max,
        })
    };
    shares.iter().map(group).collect()
}

pub(super) fn words(shares: &[ShareStats], text: &mut String) {
    if shares.is_empty() {
        return;
    }
    let _ = writeln!(text, "\nshare groups:");
    for one in shares {
        let ShareStats { filter, behind, handed, waiting, attempts_max, .. } = one;
        let members = count(one.members, "lasting member");
        let _ = writeln!(
            text,
            "  {filter}: {members}, {behind} records behind, {handed} handed out, {waiting} to be \
             handed out again, at most {attempts_max} attempts"
        );
    }
}
