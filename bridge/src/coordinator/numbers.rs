//! What is counted of consumer groups: every series is declared once, its handles are made once.

use metrics::{Counter, counter, describe_counter};

use crate::groups::Refusal;

const REFUSED: &str = "tidewire_consumer_groups_refused_total";

/// Refusals because of a limit, and their names.
const LIMITS: [(Refusal, &str); 3] = [
    (Refusal::Full, "members_or_groups"),
    (Refusal::NoRoom, "bytes"),
    (Refusal::MetadataTooLarge, "offset_metadata"),
];

/// The handles of all series.
pub(super) struct Numbers {
    refused: [Counter; 3],
}

impl Numbers {
    /// Describes and registers all series with the recorder in force.
    pub(super) fn register() -> Self {
        describe_counter!(REFUSED, "Requests of consumer groups that a limit refused.");
        Self { refused: LIMITS.map(|(_, limit)| counter!(REFUSED, "limit" => limit)) }
    }

    /// Something was refused, perhaps because of a limit.
    pub(super) fn refused(&self, why: Refusal) {
        let place = LIMITS.iter().position(|(limit, _)| *limit == why);
        if let Some(counter) = place.and_then(|place| self.refused.get(place)) {
            counter.increment(1);
        }
    }
}
