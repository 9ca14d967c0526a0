//! `[topics]`: what becomes of topics and filters before anything else looks at them, what clients
//! are subscribed to unasked, and how many topics are told apart. Settings and their rules.

use serde::{Deserialize, Serialize};
use tidewire_proto::mqtt::RetainHandling;
use tidewire_proto::routing::rewrite::{RewriteError, RewriteRule};
use tidewire_proto::topic::check_filter;

use super::defaults;
use super::quantity::count;
use super::rules::Breach;
use super::text::word;

/// How filters begin that are not one client's own, or not everybody's.
const KINDS: [&str; 3] = ["$share/", "$queue/", "$exclusive/"];

/// `[topics]`: rules for topics and filters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TopicsConfig {
    /// Topics and filters that are written anew: the first rule that fits, once.
    pub rewrite: Vec<RewriteConfig>,
    /// What every client is subscribed to without asking.
    pub auto_subscribe: Vec<AutoSubscribeConfig>,
    /// Topics that are told apart for who asks which there are; 0: nobody is told.
    #[serde(deserialize_with = "count::<_, _, 0, 10_000_000>")]
    pub count_max: u32,
}

impl Default for TopicsConfig {
    fn default() -> Self {
        Self {
            rewrite: Vec::new(),
            auto_subscribe: Vec::new(),
            count_max: defaults::TOPICS_COUNT_MAX,
        }
    }
}

/// `[[topics.rewrite]]`: one rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RewriteConfig {
    /// Where it holds.
    #[serde(deserialize_with = "word")]
    pub on: RewriteOn,
    /// Which topics and filters, as an MQTT filter.
    pub from: String,
    /// What they become; `$1` to `$9` are what stands at the wildcards of `from`.
    pub to: String,
}

impl Default for RewriteConfig {
    fn default() -> Self {
        Self { on: RewriteOn::Both, from: String::new(), to: String::new() }
    }
}

/// Where a rewrite rule holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RewriteOn {
    /// Topics of messages.
    Publish,
    /// Filters of subscriptions.
    Subscribe,
    /// Both.
    Both,
}

/// `[[topics.auto_subscribe]]`: one subscription of every client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AutoSubscribeConfig {
    /// The filter; `%c` stands for the client id, `%u` for the user name.
    pub filter: String,
    /// The highest QoS.
    #[serde(deserialize_with = "count::<_, _, 0, 2>")]
    pub qos: u8,
    /// Not what the client published itself.
    pub no_local: bool,
    /// The RETAIN flag stays as the publisher set it.
    pub retain_as_published: bool,
    /// Whether the retained messages come too.
    #[serde(deserialize_with = "word")]
    pub retained: AutoRetained,
}

impl Default for AutoSubscribeConfig {
    fn default() -> Self {
        Self {
            filter: String::new(),
            qos: 0,
            no_local: false,
            retain_as_published: false,
            retained: AutoRetained::WhenNew,
        }
    }
}

/// Whether an automatic subscription brings retained messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AutoRetained {
    /// With a session that does not have the subscription yet.
    WhenNew,
    /// Not at all.
    Never,
}

impl AutoRetained {
    /// The protocol's word.
    #[must_use]
    pub fn handling(self) -> RetainHandling {
        match self {
            Self::WhenNew => RetainHandling::SendIfNew,
            Self::Never => RetainHandling::DoNotSend,
        }
    }
}

/// Each rule by itself.
pub(super) fn check_topics(topics: &TopicsConfig) -> Vec<Breach> {
    let rewrites = topics.rewrite.iter().enumerate();
    let subscriptions = topics.auto_subscribe.iter().enumerate();
    rewrites
        .filter_map(|(number, rule)| check_rewrite(number, rule))
        .chain(subscriptions.filter_map(|(number, rule)| check_automatic(number, &rule.filter)))
        .collect()
}

fn check_rewrite(number: usize, rule: &RewriteConfig) -> Option<Breach> {
    let error = RewriteRule::parse(&rule.from, &rule.to).err()?;
    let is_about_from = matches!(error, RewriteError::Filter(_))
        || (error == RewriteError::Kind && rule.from.starts_with('$'));
    let (which, text) = if is_about_from { ("from", &rule.from) } else { ("to", &rule.to) };
    let setting = format!("topics.rewrite.{number}.{which}");
    let breach = Breach::new(&[&setting], format!("{text:?} makes no rewrite rule: {error}"));
    Some(breach.hint("such as { from = \"old/+/#\", to = \"new/$1/$2\" }"))
}

fn check_automatic(number: usize, filter: &str) -> Option<Breach> {
    let setting = format!("topics.auto_subscribe.{number}.filter");
    // Whatever the placeholders become, it holds no wildcard.
    let filled = filter.replace("%c", "c").replace("%u", "u");
    let problem = match check_filter(&filled) {
        Err(error) => error.to_string(),
        Ok(()) if KINDS.iter().any(|kind| filled.starts_with(kind)) => {
            "every client has it for itself".into()
        }
        Ok(()) => return None,
    };
    let breach = Breach::new(&[&setting], format!("{filter:?} cannot be subscribed to: {problem}"));
    Some(breach.hint("such as \"devices/%c/commands\"; %c is the client id, %u the user name"))
}

#[cfg(test)]
mod tests {
    use super::{AutoSubscribeConfig, RewriteConfig, TopicsConfig, check_topics};

    #[track_caller]
    fn check_rewrite(from: &str, to: &str, culprit: Option<&str>) {
        let rule = RewriteConfig { from: from.into(), to: to.into(), ..Default::default() };
        let topics = TopicsConfig { rewrite: vec![rule], ..Default::default() };
        let found: Vec<_> =
            check_topics(&topics).iter().map(|breach| breach.settings[0].join(".")).collect();
        let expected: Vec<_> = culprit.iter().map(|it| format!("topics.rewrite.0.{it}")).collect();
        assert_eq!(found, expected, "{from} {to}");
    }

    #[test]
    fn a_wrong_rewrite_rule_blames_the_text_that_is_wrong() {
        check_rewrite("a/+", "b/$1", None);
        check_rewrite("", "b", Some("from"));
        check_rewrite("$share/g/a", "b", Some("from"));
        check_rewrite("a", "", Some("to"));
        check_rewrite("a", "b/$1", Some("to"));
        check_rewrite("a", "$share/g/b", Some("to"));
    }

    #[test]
    fn an_automatic_subscription_is_a_plain_filter() {
        let problems = |filter: &str| {
            let rule = AutoSubscribeConfig { filter: filter.into(), ..Default::default() };
            let topics = TopicsConfig { auto_subscribe: vec![rule], ..Default::default() };
            check_topics(&topics).len()
        };
        for filter in ["devices/%c/#", "users/%u", "+/%c"] {
            assert_eq!(problems(filter), 0, "{filter}");
        }
        for filter in ["", "a#", "$share/g/a", "$queue/a", "$exclusive/a"] {
            assert_eq!(problems(filter), 1, "{filter}");
        }
    }
}
