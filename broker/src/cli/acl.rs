//! `tidewire acl check`: what the rules say, and which line decides. Changes nothing.

use std::error::Error;
use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use tidewire_proto::access::{Action, Admits, LISTENERS, Place, Rule, Subject};
use tidewire_proto::topic::split_share;

use crate::access_file;
use crate::config::{AccessConfig, Config};

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
        return Ok(("allowed: there are no rules (access.rules_file)".into(), true));
    }
    let rules = access_file::load(access).map_err(|error| {
        let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
        format!("{error}{cause}")
    })?;
    let subject = subject(check);
    let plain = match split_share(&check.topic) {
        Ok(Some((_, plain))) => plain,
        _ => &check.topic,
    };
    if !plain.contains(['+', '#']) {
        let (is_allowed, rule) = rules.explain(&subject, check.action, plain);
        let word = if is_allowed { "allowed" } else { "denied" };
        return Ok((told(word, rule, access), is_allowed));
    }
    let (admits, rule) = rules.explain_filter(&subject, check.action, plain);
    let word = match admits {
        Admits::All => "allowed",
        Admits::Some => "allowed in part",
        Admits::None => "denied",
    };
    Ok((told(word, rule, access), admits == Admits::All))
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
    let files: Vec<&PathBuf> = access.rules_file.iter().chain(&access.mosquitto_file).collect();
    let file = files.get(rule.file).map(|file| file.display().to_string()).unwrap_or_default();
    format!("{word} by {file}:{}: {}", rule.line, rule.text)
}
