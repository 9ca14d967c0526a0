//! Which numbers there are, section by section: no statement can be forgotten. Says nothing of
//! what they mean.

use std::collections::HashSet;
use std::ops::RangeInclusive;

/// A section and the numbers in it.
pub(super) type Sections = &'static [(&'static str, RangeInclusive<u32>)];

/// Appendix B of the OASIS standard, 251 of them.
pub(super) const MQTT_5: Sections = &[
    ("1.5.4", 1..=3),
    ("1.5.5", 1..=1),
    ("1.5.7", 1..=1),
    ("2.1.3", 1..=1),
    ("2.2.1", 2..=6),
    ("2.2.2", 1..=1),
    ("3.1.0", 1..=2),
    ("3.1.2", 1..=30),
    ("3.1.3", 1..=12),
    ("3.1.4", 1..=6),
    ("3.2.0", 1..=2),
    ("3.2.2", 1..=22),
    ("3.3.1", 1..=13),
    ("3.3.2", 1..=20),
    ("3.3.4", 1..=10),
    ("3.4.2", 1..=3),
    ("3.5.2", 1..=3),
    ("3.6.1", 1..=1),
    ("3.6.2", 1..=3),
    ("3.7.2", 1..=3),
    ("3.8.1", 1..=1),
    ("3.8.3", 1..=5),
    ("3.8.4", 1..=8),
    ("3.9.2", 1..=2),
    ("3.9.3", 1..=2),
    ("3.10.1", 1..=1),
    ("3.10.3", 1..=2),
    ("3.10.4", 1..=6),
    ("3.11.2", 1..=2),
    ("3.11.3", 1..=2),
    ("3.12.4", 1..=1),
    ("3.14.0", 1..=1),
    ("3.14.1", 1..=1),
    ("3.14.2", 1..=4),
    ("3.14.4", 1..=3),
    ("3.15.1", 1..=1),
    ("3.15.2", 1..=3),
    ("4.1.0", 1..=2),
    ("4.2", 1..=1),
    ("4.3.1", 1..=1),
    ("4.3.2", 1..=5),
    ("4.3.3", 1..=13),
    ("4.4.0", 1..=2),
    ("4.5.0", 1..=2),
    ("4.6.0", 1..=6),
    ("4.7.0", 1..=1),
    ("4.7.1", 1..=2),
    ("4.7.2", 1..=1),
    ("4.7.3", 1..=4),
    ("4.8.2", 1..=6),
    ("4.9.0", 1..=3),
    ("4.12.0", 1..=7),
    ("4.12.1", 1..=2),
    ("4.13.1", 1..=1),
    ("4.13.2", 1..=1),
    ("6.0.0", 1..=4),
];

/// Appendix B of the OASIS standard, 141 of them.
pub(super) const MQTT_3_1_1: Sections = &[
    ("1.5.3", 1..=3),
    ("2.2.2", 1..=2),
    ("2.3.1", 1..=7),
    ("3.1.0", 1..=2),
    ("3.1.2", 1..=24),
    ("3.1.3", 1..=11),
    ("3.1.4", 1..=5),
    ("3.2.0", 1..=1),
    ("3.2.2", 1..=6),
    ("3.3.1", 1..=12),
    ("3.3.2", 1..=3),
    ("3.3.4", 1..=1),
    ("3.3.5", 1..=2),
    ("3.6.1", 1..=1),
    ("3.8.1", 1..=1),
    ("3.8.3", 1..=4),
    ("3.8.4", 1..=6),
    ("3.9.3", 1..=2),
    ("3.10.1", 1..=1),
    ("3.10.3", 1..=2),
    ("3.10.4", 1..=6),
    ("3.12.4", 1..=1),
    ("3.14.1", 1..=1),
    ("3.14.4", 1..=3),
    ("4.1.0", 1..=2),
    ("4.3.1", 1..=1),
    ("4.3.2", 1..=2),
    ("4.3.3", 1..=2),
    ("4.4.0", 1..=1),
    ("4.5.0", 1..=2),
    ("4.6.0", 1..=6),
    ("4.7.1", 1..=3),
    ("4.7.2", 1..=1),
    ("4.7.3", 1..=4),
    ("4.8.0", 1..=2),
    ("6.0.0", 1..=4),
    ("7.0.0", 1..=2),
    ("7.1.1", 1..=1),
    ("7.1.2", 1..=1),
];

/// Missing, unknown and repeated numbers.
pub(super) fn check(found: &[&str], expected: Option<Sections>) -> Vec<String> {
    let mut complaints = Vec::new();
    let mut once = HashSet::new();
    for id in found {
        if !once.insert(*id) {
            complaints.push(format!("{id}: stands twice"));
        }
    }
    let Some(expected) = expected else { return complaints };
    let all: Vec<String> = expand(expected);
    for id in &all {
        if !once.remove(id.as_str()) {
            complaints.push(format!("{id}: is missing"));
        }
    }
    complaints.extend(once.into_iter().map(|id| format!("{id}: no such statement")));
    complaints
}

fn expand(sections: Sections) -> Vec<String> {
    let numbers = |(section, range): &(&str, RangeInclusive<u32>)| {
        let section = (*section).to_owned();
        range.clone().map(move |number| format!("MQTT-{section}-{number}"))
    };
    sections.iter().flat_map(numbers).collect()
}

#[cfg(test)]
mod tests {
    use super::{MQTT_3_1_1, MQTT_5, Sections, check, expand};

    #[test]
    fn all_numbers_are_there() {
        assert_eq!(expand(MQTT_5).len(), 251);
        assert_eq!(expand(MQTT_3_1_1).len(), 141);
    }

    #[test]
    fn missing_unknown_and_repeated_numbers_are_found() {
        const SECTIONS: Sections = &[("1.1", 1..=2)];
        assert!(check(&["MQTT-1.1-1", "MQTT-1.1-2"], Some(SECTIONS)).is_empty());
        assert_eq!(check(&["MQTT-1.1-1"], Some(SECTIONS)).len(), 1);
        assert_eq!(check(&["MQTT-1.1-1", "MQTT-1.1-3"], Some(SECTIONS)).len(), 2);
        assert_eq!(check(&["X-1", "X-1"], None).len(), 1);
    }
}
