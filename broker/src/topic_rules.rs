//! The configuration's rules for topics and filters, ready for use. Decides; changes no session.

use std::borrow::Cow;
use std::sync::Arc;

use tidewire_proto::mqtt::RetainHandling;
use tidewire_proto::qos::Qos;
use tidewire_proto::routing::grant::Grant;
use tidewire_proto::routing::rewrite::{RewriteRule, rewrite};
use tidewire_proto::topic::{TOPIC_BYTES_MAX, split_share};

use crate::config::{AutoSubscribeConfig, RewriteConfig, RewriteOn, TopicsConfig};

/// How a filter begins that one session at a time may have.
pub(crate) const EXCLUSIVE: &str = "$exclusive/";

/// The filter that messages are compared with, and whether one session alone may have it.
pub(crate) fn without_exclusive(filter: &str) -> (&str, bool) {
    match filter.strip_prefix(EXCLUSIVE) {
        Some(plain) => (plain, true),
        None => (filter, false),
    }
}

/// One name per subscription: `$queue/filter` is the share group `$queue`.
pub(crate) fn canonical(filter: &str) -> Cow<'_, str> {
    match filter.starts_with("$queue/") {
        true => format!("$share/{filter}").into(),
        false => filter.into(),
    }
}

/// All rules.
#[derive(Debug)]
pub(crate) struct TopicRules {
    /// For topics of messages.
    pub(crate) on_publish: Arc<[RewriteRule]>,
    on_subscribe: Box<[RewriteRule]>,
    /// What every session is subscribed to.
    pub(crate) automatic: Box<[Automatic]>,
}

impl TopicRules {
    pub(crate) fn of(topics: &TopicsConfig) -> Self {
        let rules = |not_on: RewriteOn| {
            let fitting = topics.rewrite.iter().filter(move |rule| rule.on != not_on);
            fitting.filter_map(|RewriteConfig { from, to, .. }| RewriteRule::parse(from, to).ok())
        };
        Self {
            on_publish: rules(RewriteOn::Subscribe).collect(),
            on_subscribe: rules(RewriteOn::Publish).collect(),
            automatic: topics.auto_subscribe.iter().map(Automatic::of).collect(),
        }
    }

    /// The filter that a client gets when it asks for this one. What it is behind, a share group
    /// say, stays.
    pub(crate) fn filter<'a>(&self, filter: &'a str) -> Cow<'a, str> {
        if self.on_subscribe.is_empty() {
            return filter.into();
        }
        let plain = match split_share(filter) {
            Ok(Some((_, plain))) => plain,
            _ => filter.strip_prefix(EXCLUSIVE).unwrap_or(filter),
        };
        match rewrite(&self.on_subscribe, plain) {
            Some(written) => {
                let kind = &filter[..filter.len() - plain.len()];
                format!("{kind}{written}").into()
            }
            None => filter.into(),
        }
    }
}

/// A subscription that every session has.
#[derive(Debug)]
pub(crate) struct Automatic {
    filter: String,
    pub(crate) grant: Grant,
    pub(crate) retained: RetainHandling,
}

impl Automatic {
    fn of(config: &AutoSubscribeConfig) -> Self {
        Self {
            filter: config.filter.clone(),
            grant: Grant {
                qos: Qos::from_bits(config.qos).unwrap_or_default(),
                no_local: config.no_local,
                retain_as_published: config.retain_as_published,
                id: 0,
            },
            retained: config.retained.handling(),
        }
    }

    /// The filter for this client. `None` when a name is missing, or holds a wildcard: it would
    /// open more than its own topics.
    pub(crate) fn filter_for(&self, client_id: &str, user: Option<&str>) -> Option<String> {
        let mut filter = self.filter.clone();
        for (placeholder, name) in [("%c", Some(client_id)), ("%u", user)] {
            if filter.contains(placeholder) {
                let name = name.filter(|name| !name.contains(['+', '#']))?;
                filter = filter.replace(placeholder, name);
            }
        }
        (filter.len() <= TOPIC_BYTES_MAX).then_some(filter)
    }
}

#[cfg(test)]
mod tests {
    use super::{Automatic, TopicRules};
    use crate::config::{AutoSubscribeConfig, RewriteConfig, RewriteOn, TopicsConfig};

    fn automatic(filter: &str) -> Automatic {
        Automatic::of(&AutoSubscribeConfig { filter: filter.into(), ..Default::default() })
    }

    #[test]
    fn placeholders_become_names_and_never_wildcards() {
        let filter = |text: &str, id: &str, user| automatic(text).filter_for(id, user);
        assert_eq!(filter("d/%c/#", "esp", None).as_deref(), Some("d/esp/#"));
        assert_eq!(filter("%u/%c", "esp", Some("ada")).as_deref(), Some("ada/esp"));
        assert_eq!(filter("%u/x", "esp", None), None);
        assert_eq!(filter("d/%c", "+", None), None);
        assert_eq!(filter("d/%u", "esp", Some("a/#")), None);
        assert_eq!(filter("plain", "+", None).as_deref(), Some("plain"));
    }

    #[test]
    fn filters_are_rewritten_behind_their_kind() {
        let rule =
            |on, from: &str, to: &str| RewriteConfig { on, from: from.into(), to: to.into() };
        let rewrite = vec![
            rule(RewriteOn::Publish, "a/#", "never/$1"),
            rule(RewriteOn::Subscribe, "a/#", "b/$1"),
        ];
        let rules = TopicRules::of(&TopicsConfig { rewrite, ..Default::default() });
        for (asked, expected) in [
            ("a/+", "b/+"),
            ("$share/g/a/+", "$share/g/b/+"),
            ("$exclusive/a/x", "$exclusive/b/x"),
            ("c", "c"),
            ("$share/g/c", "$share/g/c"),
        ] {
            assert_eq!(rules.filter(asked), expected);
        }
        assert_eq!(rules.on_publish.len(), 1);
    }
}
