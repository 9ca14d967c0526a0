//! What MQTT says about subscriptions and messages, as short as it can be said. Knows no broker.

use std::collections::BTreeMap;

/// What a client asked for with one filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wish {
    pub(crate) qos: u8,
    pub(crate) no_local: bool,
    pub(crate) as_published: bool,
    /// 0: none.
    pub(crate) id: u8,
}

/// A message that was published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) topic: &'static str,
    pub(crate) payload: String,
    pub(crate) qos: u8,
    pub(crate) retain: bool,
    /// Which client published it.
    pub(crate) from: Option<usize>,
}

/// A message as a client must get it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Copy {
    pub(crate) topic: String,
    pub(crate) payload: String,
    pub(crate) qos: u8,
    /// `None` where the specification leaves it open.
    pub(crate) retain: Option<bool>,
    pub(crate) ids: Vec<u8>,
}

/// The subscriptions of one session.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wishes(pub(crate) BTreeMap<&'static str, Wish>);

/// Whether a topic is what a filter asks for.
pub(crate) fn matches(filter: &str, topic: &str) -> bool {
    if topic.starts_with('$') && filter.starts_with(['#', '+']) {
        return false;
    }
    let (mut wanted, mut there) = (filter.split('/'), topic.split('/'));
    loop {
        match (wanted.next(), there.next()) {
            (Some("#"), _) | (None, None) => return true,
            (Some("+"), Some(_)) => (),
            (Some(one), Some(other)) if one == other => (),
            _ => return false,
        }
    }
}

impl Wishes {
    /// The one copy that the client gets of a live message, if any.
    pub(crate) fn copy(&self, client: usize, message: &Message) -> Option<Copy> {
        let is_own = message.from == Some(client);
        let fits = |(filter, wish): &(&&str, &Wish)| {
            matches(filter, message.topic) && !(wish.no_local && is_own)
        };
        let wishes: Vec<&Wish> = self.0.iter().filter(fits).map(|(_, wish)| wish).collect();
        let granted = wishes.iter().map(|wish| wish.qos).max()?;
        let shown = wishes.iter().filter(|wish| wish.as_published).count();
        let mut ids: Vec<u8> = wishes.iter().map(|wish| wish.id).filter(|id| *id > 0).collect();
        ids.sort_unstable();
        Some(Copy {
            topic: message.topic.to_owned(),
            payload: message.payload.clone(),
            qos: message.qos.min(granted),
            retain: match (message.retain, shown) {
                (false, _) | (true, 0) => Some(false),
                (true, all) if all == wishes.len() => Some(true),
                // Overlapping subscriptions want different things of one copy.
                _ => None,
            },
            ids,
        })
    }

    /// The copy of a retained message that one new subscription gets.
    pub(crate) fn greeting(wish: Wish, message: &Message) -> Copy {
        Copy {
            topic: message.topic.to_owned(),
            payload: message.payload.clone(),
            qos: message.qos.min(wish.qos),
            retain: Some(true),
            ids: if wish.id > 0 { vec![wish.id] } else { Vec::new() },
        }
    }
}

#[test]
fn the_model_matches_as_the_specification_says() {
    for (filter, topic, is_match) in [
        ("a/#", "a", true),
        ("a/+", "a", false),
        ("+/+", "/b", true),
        ("#", "$own/a", false),
        ("$own/#", "$own/a", true),
        ("a/+/c", "a/b/c", true),
        ("a", "a/b", false),
    ] {
        assert_eq!(matches(filter, topic), is_match, "{filter} {topic}");
    }
}
