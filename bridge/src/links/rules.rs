//! What a link copies, which way, and what becomes of topics on the way. Pure.

use std::borrow::Cow;

use tidewire_proto::qos::Qos;
use tidewire_proto::topic::{TopicFilter, check_topic_name, is_shared, matches};

/// One rule, as it is configured: Mosquitto's `topic` line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkRule {
    /// From here to there.
    pub is_out: bool,
    /// From there to here.
    pub is_in: bool,
    /// The topics, without their prefixes; empty: the prefixes are the topics.
    pub filter: String,
    /// The highest QoS.
    pub qos: u8,
    /// What stands before them here.
    pub local_prefix: String,
    /// What stands before them there.
    pub remote_prefix: String,
    /// The RETAIN flag stays.
    pub keeps_retain: bool,
}

/// What is wrong with rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkProblem {
    /// Which rule; `None`: all of them together.
    pub rule: Option<usize>,
    /// Which of its settings.
    pub setting: &'static str,
    /// What is wrong.
    pub message: String,
}

/// Whether a link can have these rules. `no_local`: the other side does not send back what came
/// from us.
///
/// # Errors
/// The first thing that is wrong.
pub fn check_rules(rules: &[LinkRule], no_local: bool) -> Result<(), LinkProblem> {
    if rules.is_empty() {
        let message = "a link needs at least one of `rules`".into();
        return Err(LinkProblem { rule: None, setting: "rules", message });
    }
    for (number, rule) in rules.iter().enumerate() {
        check_rule(rule).map_err(|(setting, message)| LinkProblem {
            rule: Some(number),
            setting,
            message,
        })?;
    }
    if no_local {
        return Ok(());
    }
    for (number, out) in rules.iter().enumerate().filter(|(_, rule)| rule.is_out) {
        let remote = out.remote_filter();
        let back = rules.iter().filter(|rule| rule.is_in).map(LinkRule::remote_filter);
        if let Some(back) = back.into_iter().find(|back| overlap(&remote, back)) {
            let message = format!(
                "what goes out under {remote:?} would come back under {back:?}: MQTT 3.1.1 cannot \
                 keep it from that; give the two ways different prefixes, or use protocol = \"5\", \
                 or try_private = true with Mosquitto"
            );
            return Err(LinkProblem { rule: Some(number), setting: "remote_prefix", message });
        }
    }
    Ok(())
}

fn check_rule(rule: &LinkRule) -> Result<(), (&'static str, String)> {
    for (setting, prefix) in
        [("local_prefix", &rule.local_prefix), ("remote_prefix", &rule.remote_prefix)]
    {
        if !prefix.is_empty() && check_topic_name(prefix).is_err() {
            return Err((setting, format!("{prefix:?} cannot stand before a topic")));
        }
    }
    for filter in [rule.local_filter(), rule.remote_filter()] {
        if is_shared(&filter) {
            return Err(("filter", "a link does not share subscriptions".into()));
        }
        TopicFilter::parse(&filter)
            .map_err(|error| ("filter", format!("{filter:?} is no topic filter: {error}")))?;
    }
    Ok(())
}

impl LinkRule {
    /// The filter here.
    pub(crate) fn local_filter(&self) -> Cow<'_, str> {
        joined(&self.local_prefix, &self.filter)
    }

    /// The filter there.
    pub(crate) fn remote_filter(&self) -> Cow<'_, str> {
        joined(&self.remote_prefix, &self.filter)
    }

    /// The highest QoS.
    pub(crate) fn qos(&self) -> Qos {
        Qos::from_bits(self.qos).unwrap_or(Qos::ExactlyOnce)
    }
}

/// Where a message goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Route<'a> {
    pub(crate) topic: Cow<'a, str>,
    pub(crate) qos: Qos,
    pub(crate) keeps_retain: bool,
}

/// Where the first rule that is about it sends a message of ours.
pub(crate) fn outward<'a>(rules: &[LinkRule], topic: &'a str) -> Option<Route<'a>> {
    let is_it = |rule: &&LinkRule| rule.is_out && matches(&rule.local_filter(), topic);
    let rule = rules.iter().find(is_it)?;
    route(rule, topic, (&rule.local_prefix, &rule.remote_prefix))
}

/// Where the first rule that is about it puts a message of theirs.
pub(crate) fn inward<'a>(rules: &[LinkRule], topic: &'a str) -> Option<Route<'a>> {
    let is_it = |rule: &&LinkRule| rule.is_in && matches(&rule.remote_filter(), topic);
    let rule = rules.iter().find(is_it)?;
    route(rule, topic, (&rule.remote_prefix, &rule.local_prefix))
}

fn joined<'a>(prefix: &str, rest: &'a str) -> Cow<'a, str> {
    match prefix.is_empty() {
        true => Cow::Borrowed(rest),
        false => Cow::Owned(format!("{prefix}{rest}")),
    }
}

fn route<'a>(rule: &LinkRule, topic: &'a str, (off, on): (&str, &str)) -> Option<Route<'a>> {
    let (qos, keeps_retain) = (rule.qos(), rule.keeps_retain);
    if off.is_empty() && on.is_empty() {
        check_topic_name(topic).ok()?;
        return Some(Route { topic: Cow::Borrowed(topic), qos, keeps_retain });
    }
    // `a/#` is about `a` too, which does not begin with the prefix `a/`.
    let rest =
        topic.strip_prefix(off).or_else(|| (off.strip_suffix('/')? == topic).then_some(""))?;
    let topic = match rest.is_empty() && on.ends_with('/') && off.ends_with('/') {
        true => Cow::Owned(on.strip_suffix('/').unwrap_or(on).to_owned()),
        false => joined(on, rest),
    };
    check_topic_name(&topic).ok()?;
    Some(Route { topic, qos, keeps_retain })
}

/// Whether every topic that the second matches is matched by the first.
pub(crate) fn covers(wide: &str, narrow: &str) -> bool {
    if narrow.starts_with('$') && wide.starts_with(['#', '+']) {
        return false;
    }
    let (mut wide, mut narrow) = (wide.split('/'), narrow.split('/'));
    loop {
        match (wide.next(), narrow.next()) {
            (Some("#"), _) | (None, None) => return true,
            (Some("+"), Some(level)) if level != "#" => (),
            (Some(a), Some(b)) if a == b => (),
            _ => return false,
        }
    }
}

/// Whether some topic matches both.
fn overlap(one: &str, other: &str) -> bool {
    let (mut one, mut other) = (one.split('/'), other.split('/'));
    loop {
        match (one.next(), other.next()) {
            (Some("#"), _) | (_, Some("#")) | (None, None) => return true,
            (Some(a), Some(b)) if a == b || a == "+" || b == "+" => (),
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{LinkRule, check_rules, covers, inward, outward, overlap};

    fn rule(is_out: bool, filter: &str, local: &str, remote: &str) -> LinkRule {
        LinkRule {
            is_out,
            is_in: !is_out,
            filter: filter.into(),
            qos: 1,
            local_prefix: local.into(),
            remote_prefix: remote.into(),
            keeps_retain: true,
        }
    }

    #[test]
    fn prefixes_come_off_and_on_both_ways() {
        for (filter, local, remote, here, there) in [
            ("#", "", "site/7/", "a/b", Some("site/7/a/b")),
            ("#", "edge/", "", "edge/a", Some("a")),
            ("+/t", "edge/", "cloud/", "edge/1/t", Some("cloud/1/t")),
            ("+/t", "edge/", "cloud/", "edge/1/x", None),
            ("#", "edge/", "cloud/", "edge", Some("cloud")),
            ("", "one", "other/topic", "one", Some("other/topic")),
            ("#", "", "cloud/", "$SYS/x", None),
        ] {
            let out = outward(&[rule(true, filter, local, remote)], here);
            assert_eq!(out.map(|it| it.topic).as_deref(), there, "{filter} {here}");
            let Some(there) = there else { continue };
            let back = inward(&[rule(false, filter, local, remote)], there);
            assert_eq!(back.map(|it| it.topic).as_deref(), Some(here), "{filter} {there}");
        }
        assert_eq!(outward(&[rule(false, "#", "", "")], "a"), None, "the other way");
    }

    #[test]
    fn wrong_rules_are_told_apart() {
        let check = |rules: &[LinkRule], no_local, expected: Option<(Option<usize>, &str)>| {
            let found = check_rules(rules, no_local).err().map(|it| (it.rule, it.setting));
            assert_eq!(found, expected, "{rules:?}");
        };
        check(&[], true, Some((None, "rules")));
        check(&[rule(true, "a#", "", "")], true, Some((Some(0), "filter")));
        check(&[rule(true, "", "", "")], true, Some((Some(0), "filter")));
        check(&[rule(true, "x", "$share/g/", "")], true, Some((Some(0), "filter")));
        check(&[rule(true, "a", "+/", "")], true, Some((Some(0), "local_prefix")));
        let both = [rule(false, "cmd/#", "", ""), rule(true, "#", "", "")];
        check(&both, true, None);
        check(&both, false, Some((Some(1), "remote_prefix")));
        check(&[rule(false, "cmd/#", "", ""), rule(true, "#", "", "up/")], false, None);
    }

    #[test]
    fn a_filter_covers_another_where_it_matches_all_of_its_topics() {
        for (wide, narrow, expected) in [
            ("a/#", "a/b/#", true),
            ("a/#", "a", true),
            ("#", "a/+", true),
            ("#", "$SYS/x", false),
            ("a/+", "a/#", false),
            ("a/+/c", "a/b/+", false),
            ("+/+", "a/+", true),
            ("a/b", "a/b", true),
            ("a", "a/b", false),
        ] {
            assert_eq!(covers(wide, narrow), expected, "{wide} {narrow}");
        }
    }

    #[test]
    fn filters_overlap_where_a_topic_matches_both() {
        for (one, other, expected) in [
            ("a/#", "a", true),
            ("a/+", "+/b", true),
            ("a/b", "a/c", false),
            ("a/+", "a/b/c", false),
            ("#", "x/y", true),
        ] {
            assert_eq!(overlap(one, other), expected, "{one} {other}");
            assert_eq!(overlap(other, one), expected, "{other} {one}");
        }
    }
}
