//! Who gets a topic, among many subscriptions.

use std::hint::black_box;

use tidewire_proto::qos::Qos;
use tidewire_proto::routing::grant::SessionKey;
use tidewire_proto::routing::routes::Routes;
use tidewire_proto::routing::trie::Trie;

use crate::round::Round;
use crate::samples::{TOPICS, grant, topic};

/// Sessions, each with four filters: 20,000 of them.
const SESSIONS: u32 = 5_000;

/// What was asked before.
pub(crate) fn kept() -> Round {
    let (trie, topics) = (trie(), topics());
    let mut routes = Routes::default();
    Box::new(move || {
        for topic in &topics {
            assert!(!black_box(routes.find(&trie, topic)).is_empty(), "somebody gets it");
        }
    })
}

/// What was not.
pub(crate) fn matched() -> Round {
    let (trie, topics) = (trie(), topics());
    Box::new(move || {
        for topic in &topics {
            let mut found = 0;
            trie.visit(topic, |session, grant| {
                black_box((session, grant));
                found += 1;
            });
            assert!(found > 0, "somebody gets it");
        }
    })
}

fn topics() -> Vec<String> {
    (0..TOPICS).map(topic).collect()
}

/// Filters as fleets have them: one topic each, a wildcard in the middle, one at the end.
fn trie() -> Trie {
    let mut trie = Trie::default();
    for number in 0..SESSIONS {
        let (plant, line) = (number / 10, number % 10);
        let device = number * 7 % SESSIONS;
        for filter in [
            format!("plant/{plant}/line/{line}/press/temperature"),
            format!("plant/{plant}/+/{line}/press/pressure"),
            format!("+/{device}/line/{line}/#"),
            format!("device/{device}/+/state"),
        ] {
            trie.insert(&filter, SessionKey(number), grant(Qos::AtLeastOnce));
        }
    }
    trie.insert("plant/+/line/+/press/temperature", SessionKey(SESSIONS), grant(Qos::AtMostOnce));
    trie
}
