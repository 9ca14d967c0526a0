//! `tidewire acl check`: what the rules say, and which line decides. Changes nothing.

use std::error::Error;
use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use tidewire_proto::access::{Action, Admits, LISTENERS, Place, Rule, Rules, Subject, Wide};
use tidewire_proto::delayed;
use tidewire_proto::replay::split_start;
use tidewire_proto::routing::rewrite::rewrite;
use tidewire_proto::topic::{check_topic_name, split_share};

use crate::access_file;
use crate::config::{AccessConfig, Config};
use crate::core::publish::is_ours;
use crate::topic_rules::{TopicRules, canonical, without_exclusive};

#[derive(Clone, Debug, Subcommand)]
pub(super) enum AclCommand {
    /// Say whether a user may do something, and the line that decides: exit code 1 if not.
    Check(Check),
}

#[derive(Clone, Debug, Args)]
pub(super) struct Check {
    /// Who asks; "-" for a client that does not show who it is.
    user: String,
    /// publish, retained, subscribe, shared, replay, kafka-read, kafka-write, kafka-group,
    /// kafka-transaction or kafka-admin.
    #[arg(value_parser = action)]
    action: Action,
    /// The topic; for an action that receives, or writes in bulk, a filter; the name of a consumer
    /// group, a transactional id or a stream for kafka-group, kafka-transaction and kafka-admin.
    topic: String,
    /// The client id.
    #[arg(long, value_name = "ID", default_value = "")]
    client: String,
    /// What the client's certificate says it is.
    #[arg(long, value_name = "NAME")]
    cert: Option<String>,
    /// A group that its token, or the HTTP hook, says it is in; may be said several times.
    #[arg(long = "group", value_name = "NAME")]
    groups: Vec<String>,
    /// Where it comes from.
    #[arg(long, value_name = "IP", default_value = "127.0.0.1")]
    address: IpAddr,
    /// Where it comes in.
    #[arg(long, value_name = "NAME", default_value = "mqtt")]
    #[arg(value_parser = LISTENERS)]
    listener: String,
    /// One JSON document instead of words.
    #[arg(long)]
    json: bool,
}

fn action(word: &str) -> Result<Action, String> {
    Action::of_word(word).ok_or_else(|| {
        let words = Action::ALL.map(Action::word).join(", ");
        format!("one of {words}")
    })
}

/// What there is to say, and whether it is allowed.
pub(super) fn run(command: &AclCommand, config: &Config) -> Result<(String, bool), String> {
    let AclCommand::Check(check) = command;
    let access = &config.access;
    if !access.has_rules() {
        let words = "allowed: there are no rules (access.rules_file)";
        return Ok((check.said(words.into(), ("allowed", true), Value::Null), true));
    }
    let rules = access_file::load(access).map_err(|error| {
        let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
        format!("{error}{cause}")
    })?;
    let asked = match asked(check, &TopicRules::of(&config.topics)) {
        Ok(asked) => asked,
        Err(words) => {
            let words = format!("denied, whatever the rules say: {words}");
            return Ok((check.said(words, ("denied", false), Value::Null), false));
        }
    };
    let subject = subject(check);
    // What two rights are needed for, one is not enough for.
    let mut worst: Option<(Admits, Option<&Rule>)> = None;
    for action in &asked.actions {
        let found = explain(&rules, &subject, *action, &asked.topic);
        if worst.is_none_or(|(admits, _)| rank(found.0) < rank(admits)) {
            worst = Some(found);
        }
    }
    let (found, decides) = worst.unwrap_or((Admits::None, None));
    let is_sieved = found == Admits::Some && rules.wide() == Wide::Sieve && !asked.is_shared;
    let word = match found {
        Admits::All => "allowed",
        Admits::Some if is_sieved => "allowed, and what may not be received is left out,",
        Admits::Some => "allowed in part",
        Admits::None => "denied",
    };
    let is_allowed = found == Admits::All || is_sieved;
    let verdict = match found {
        Admits::All => "allowed",
        Admits::Some if is_sieved => "sieved",
        Admits::Some => "partly",
        Admits::None => "denied",
    };
    let words = format!("{}{}", asked.note, told(word, decides, access));
    let rule = decides
        .map(|rule| json!({ "file": file_of(rule, access), "line": rule.line, "text": rule.text }));
    let rule = rule.unwrap_or(Value::Null);
    Ok((check.said(words, (verdict, is_allowed), rule), is_allowed))
}

impl Check {
    /// As it was asked for.
    fn said(&self, words: String, (verdict, is_allowed): (&str, bool), rule: Value) -> String {
        if !self.json {
            return words;
        }
        let document = json!({
            "allowed": is_allowed, "verdict": verdict, "rule": rule, "words": words,
        });
        document.to_string()
    }
}

/// What the broker asks the rules for.
struct Asked {
    /// All of them are needed.
    actions: Vec<Action>,
    /// As it is compared with rules.
    topic: String,
    is_shared: bool,
    /// What the question was turned into.
    note: String,
}

/// What the broker makes of a topic or filter before it asks; or why it refuses it unasked.
fn asked(check: &Check, rules: &TopicRules) -> Result<Asked, &'static str> {
    let (actions, topic) = match check.action {
        Action::Publish | Action::Retained => (vec![check.action], published(&check.topic, rules)?),
        Action::Subscribe | Action::Shared | Action::Replay => {
            let (start, plain) = split_start(&check.topic)
                .map_err(|_| "$s/ is not followed by a time")?
                .map_or((None, check.topic.as_str()), |(start, plain)| (Some(start), plain));
            let named = canonical(plain);
            let name = rules.filter(&named);
            let (filter, _) = without_exclusive(&name);
            let share = split_share(filter).map_err(|_| "it is no filter")?;
            let plain = share.map_or(filter, |(_, plain)| plain).to_owned();
            let is_shared = share.is_some() || check.action == Action::Shared;
            let is_replay = start.is_some() || check.action == Action::Replay;
            match (is_shared, is_replay) {
                (true, true) => return Err("a shared subscription cannot begin in the past"),
                (true, false) => (vec![Action::Shared], plain),
                (false, true) => (vec![Action::Subscribe, Action::Replay], plain),
                (false, false) => (vec![Action::Subscribe], plain),
            }
        }
        _ => (vec![check.action], check.topic.clone()),
    };
    let is_shared = actions == [Action::Shared];
    let is_as_said = actions == [check.action] && topic == check.topic;
    let note = if is_as_said {
        String::new()
    } else {
        let words: Vec<&str> = actions.iter().map(|action| action.word()).collect();
        format!("as {} {topic}: ", words.join(" and "))
    };
    Ok(Asked { actions, topic, is_shared, note })
}

/// The topic that a message is published to in the end.
fn published(topic: &str, rules: &TopicRules) -> Result<String, &'static str> {
    if is_ours(topic) {
        return Err("only the broker speaks in $SYS");
    }
    let topic = match topic.starts_with(delayed::PREFIX) {
        true => delayed::parse(topic).ok_or("$delayed/ is not followed by seconds and a topic")?.1,
        false => topic,
    };
    check_topic_name(topic).map_err(|_| "it is no topic that a message can have")?;
    Ok(rewrite(&rules.on_publish, topic).unwrap_or_else(|| topic.to_owned()))
}

fn explain<'a>(
    rules: &'a Rules,
    subject: &Subject,
    action: Action,
    topic: &str,
) -> (Admits, Option<&'a Rule>) {
    if topic.contains(['+', '#']) {
        return rules.explain_filter(subject, action, topic);
    }
    let (is_allowed, rule) = rules.explain(subject, action, topic);
    (if is_allowed { Admits::All } else { Admits::None }, rule)
}

const fn rank(admits: Admits) -> u8 {
    match admits {
        Admits::None => 0,
        Admits::Some => 1,
        Admits::All => 2,
    }
}

fn subject(check: &Check) -> Subject {
    let listener = LISTENERS.into_iter().find(|known| *known == check.listener);
    Subject {
        client_id: check.client.as_str().into(),
        user: (check.user != "-").then(|| check.user.as_str().into()),
        certificate: check.cert.as_deref().map(Into::into),
        place: listener.map(|listener| Place { address: Some(check.address), listener }),
        groups: check.groups.iter().map(|group| group.as_str().into()).collect(),
        may_be_vouched: false,
    }
}

fn told(word: &str, rule: Option<&Rule>, access: &AccessConfig) -> String {
    let Some(rule) = rule else { return format!("{word}: no rule allows it") };
    format!("{word} by {}:{}: {}", file_of(rule, access), rule.line, rule.text)
}

fn file_of(rule: &Rule, access: &AccessConfig) -> String {
    let files: Vec<&PathBuf> = access.rules_file.iter().chain(&access.mosquitto_file).collect();
    files.get(rule.file).map(|file| file.display().to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{AclCommand, Check, Config, action, run};
    use crate::config::{RewriteConfig, RewriteOn, WideFilters};

    const RULES: &str = "\
allow everyone publish,subscribe plant/#
deny  everyone replay plant/#
allow everyone any $SYS/#
allow everyone replay old/#
allow everyone subscribe both/#
allow everyone subscribe group/#
deny  everyone shared group/#
allow everyone subscribe part/a
";

    fn config(folder: &Path) -> Config {
        let path = folder.join("rules");
        std::fs::write(&path, RULES).expect("written");
        let mut config = Config::default();
        config.access.rules_file = Some(path);
        config.topics.rewrite = vec![RewriteConfig {
            from: "legacy/+".into(),
            to: "plant/$1".into(),
            on: RewriteOn::Both,
        }];
        config
    }

    #[track_caller]
    fn check(config: &Config, question: &str, is_allowed: bool, told: &str) {
        let (word, topic) = question.split_once(' ').expect("an action and a topic");
        let check = Check {
            user: "ann".into(),
            action: action(word).expect("an action"),
            topic: topic.into(),
            client: "c".into(),
            cert: None,
            groups: Vec::new(),
            address: [127, 0, 0, 1].into(),
            listener: "mqtt".into(),
            json: false,
        };
        let (text, found) = run(&AclCommand::Check(check), config).expect("good rules");
        assert_eq!(found, is_allowed, "{question}: {text}");
        assert!(text.contains(told), "{question}: {text}");
    }

    #[test]
    fn the_command_asks_for_what_the_broker_asks_for() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut config = config(folder.path());
        for (question, is_allowed, told) in [
            ("publish plant/a", true, "allowed by"),
            ("publish legacy/a", true, "as publish plant/a: allowed by"),
            ("publish $delayed/5/plant/a", true, "as publish plant/a: allowed by"),
            ("publish $delayed/plant", false, "whatever the rules say"),
            ("publish $SYS/x", false, "only the broker speaks"),
            ("publish plant/+", false, "no topic"),
            ("subscribe legacy/a", true, "as subscribe plant/a: allowed by"),
            ("subscribe $exclusive/plant/a", true, "as subscribe plant/a: allowed by"),
            ("subscribe $share/g/group/a", false, "as shared group/a: denied by"),
            ("subscribe $queue/group/a", false, "as shared group/a: denied by"),
            ("shared group/a", false, "denied by"),
            ("subscribe $s/earliest/both/a", true, "as subscribe and replay both/a: allowed"),
            ("subscribe $s/earliest/plant/a", false, "as subscribe and replay plant/a: denied"),
            ("replay old/a", false, "as subscribe and replay old/a: denied"),
            ("replay $share/g/both/a", false, "cannot begin in the past"),
            ("subscribe part/+", false, "allowed in part"),
            ("kafka-read $share/g/both/a", false, "denied"),
        ] {
            check(&config, question, is_allowed, told);
        }
        config.access.wide_filters = WideFilters::Sieve;
        check(&config, "subscribe part/+", true, "is left out");
        check(&config, "subscribe $share/g/part/+", false, "as shared part/+: allowed in part");
    }
}
